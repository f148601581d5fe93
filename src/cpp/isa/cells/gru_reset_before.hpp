// GRU with the reset before the product: slots r z n.
//   n = tanh(z_n + (r h) W_hn),  h' = (1 - z) n + z h      Keeps r z n; u = r h and h come along.
#pragma once

#include "isa/simd/math.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

constexpr CellShape gru_reset_before_shape() {
  constexpr int r = 0, z = 1, n = 2;
  return CellShape::of_slots("gru_reset_before",
                             {from_x_and_h(r), from_x_and_h(z), from_x_and_u(n)})
      .passing_h();
}

struct GruResetBefore {
  static constexpr CellShape shape = gru_reset_before_shape();

  template <class V>
  static V forward_first(V (&z)[3], const V (&state)[1]) {
    z[0] = vector_sigmoid(z[0]);
    z[1] = vector_sigmoid(z[1]);
    return z[0] * state[0];
  }

  template <class V>
  static void forward(V (&z)[3], V (&state)[1], const V*) {
    const V n = vector_tanh(z[2]);
    state[0] = mixed(z[1], state[0], n);
    z[2] = n;
  }

  template <class V>
  static void backward(V (&z)[3], const V (&prev)[1], V (&d)[1], const V*, V*) {
    const V one = V::broadcast(1);
    const V update = z[1], n = z[2];
    z[1] = d[0] * (prev[0] - n) * (update * (one - update));
    z[2] = d[0] * (one - update) * negative_multiply_add(n, n, one);
    d[0] = d[0] * update;
  }

  // The rest of dh comes from du, the gradient of u.
  template <class V>
  static void backward_first(V (&z)[3], const V (&prev)[1], V du, V (&d)[1]) {
    const V r = z[0];
    z[0] = du * prev[0] * (r * (V::broadcast(1) - r));
    d[0] = multiply_add(du, r, d[0]);
  }
};

}  // namespace
}  // namespace pyrnn
