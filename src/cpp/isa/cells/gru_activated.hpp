// Both GRUs with activations that are chosen when the layer is made: of the gates r z, and of the
// candidate n, which may be infinite. They keep the pre-activations.
#pragma once

#include "isa/cells/activations.hpp"
#include "isa/cells/gru.hpp"
#include "isa/cells/gru_reset_before.hpp"

namespace pyrnn {
namespace {

constexpr CellShape named_activated(CellShape shape, const char* name) {
  shape.name = name;
  return shape.activated();
}

// Slots n r z and what the hidden state adds to n.
struct GruActivated {
  static constexpr CellShape shape = named_activated(gru_shape(), "gru_activated");

  template <class V>
  static void forward(V (&z)[4], V (&state)[1], const V*,
                      const Activations<typename V::Scalar>& by) {
    const V r = clipped(by.gate, by.clip, z[1]);
    const V update = clipped(by.gate, by.clip, z[2]);
    z[0] = multiply_add(r, z[3], z[0]);
    const V n = clipped(by.candidate, by.clip, z[0]);
    state[0] = multiply_add(update, state[0], (V::broadcast(1) - update) * n);
  }

  template <class V>
  static void backward(V (&z)[4], const V (&prev)[1], V (&d)[1], const V*, V*,
                       const Activations<typename V::Scalar>& by) {
    const V r = clipped(by.gate, by.clip, z[1]);
    const V update = clipped(by.gate, by.clip, z[2]);
    const V n = clipped(by.candidate, by.clip, z[0]), hidden_n = z[3];
    const V dn = d[0] * (V::broadcast(1) - update) * clipped_slope(by.candidate, by.clip, z[0]);
    z[0] = dn;
    z[1] = dn * hidden_n * clipped_slope(by.gate, by.clip, z[1]);
    z[2] = d[0] * (prev[0] - n) * clipped_slope(by.gate, by.clip, z[2]);
    z[3] = dn * r;
    d[0] = d[0] * update;
  }
};

// Slots r z n.
struct GruResetBeforeActivated {
  static constexpr CellShape shape =
      named_activated(gru_reset_before_shape(), "gru_reset_before_activated");

  template <class V>
  static V forward_first(V (&z)[3], const V (&state)[1],
                         const Activations<typename V::Scalar>& by) {
    return clipped(by.gate, by.clip, z[0]) * state[0];
  }

  template <class V>
  static void forward(V (&z)[3], V (&state)[1], const V*,
                      const Activations<typename V::Scalar>& by) {
    const V n = clipped(by.candidate, by.clip, z[2]);
    const V update = clipped(by.gate, by.clip, z[1]);
    state[0] = multiply_add(update, state[0], (V::broadcast(1) - update) * n);
  }

  template <class V>
  static void backward(V (&z)[3], const V (&prev)[1], V (&d)[1], const V*, V*,
                       const Activations<typename V::Scalar>& by) {
    const V update = clipped(by.gate, by.clip, z[1]);
    const V n = clipped(by.candidate, by.clip, z[2]);
    z[1] = d[0] * (prev[0] - n) * clipped_slope(by.gate, by.clip, z[1]);
    z[2] = d[0] * (V::broadcast(1) - update) * clipped_slope(by.candidate, by.clip, z[2]);
    d[0] = d[0] * update;
  }

  template <class V>
  static void backward_first(V (&z)[3], const V (&prev)[1], V du, V (&d)[1],
                             const Activations<typename V::Scalar>& by) {
    const V r = clipped(by.gate, by.clip, z[0]);
    z[0] = du * prev[0] * clipped_slope(by.gate, by.clip, z[0]);
    d[0] = multiply_add(du, r, d[0]);
  }
};

}  // namespace
}  // namespace pyrnn
