// LSTM with activations that are chosen when the layer is made: f of the gates i f o, a candidate g
// of its own, and what the cell state passes through:
//   c' = f c + i g,  h' = o output(c')        Keeps the pre-activations; c comes with the states.
#pragma once

#include "isa/cells/activations.hpp"
#include "isa/cells/lstm.hpp"

namespace pyrnn {
namespace {

template <bool PEEPHOLE, bool COUPLED>
constexpr CellShape lstm_activated_shape() {
  CellShape shape = lstm_shape<PEEPHOLE, COUPLED>();
  if (COUPLED) {
    shape.name = PEEPHOLE ? "lstm_coupled_peephole_activated" : "lstm_coupled_activated";
  } else {
    shape.name = PEEPHOLE ? "lstm_peephole_activated" : "lstm_activated";
  }
  return shape.activated();
}

template <bool PEEPHOLE, bool COUPLED>
struct LstmActivatedCell {
  using Plain = LstmCell<PEEPHOLE, COUPLED>;
  static constexpr CellShape shape = lstm_activated_shape<PEEPHOLE, COUPLED>();
  static constexpr int slots = shape.slots;
  static constexpr int peepholes = Plain::peepholes, g_at = Plain::g_at, o_at = Plain::o_at;

  template <class V>
  static void forward(V (&z)[slots], V (&state)[2], const V* peephole,
                      const Activations<typename V::Scalar>& by) {
    const V c = state[1];
    if (PEEPHOLE) {
      z[0] = multiply_add(peephole[0], c, z[0]);
      if (!COUPLED) z[1] = multiply_add(peephole[1], c, z[1]);
    }
    const V i = clipped(by.gate, by.clip, z[0]);
    const V f = COUPLED ? V::broadcast(1) - i : clipped(by.gate, by.clip, z[1]);
    const V g = clipped(by.candidate, by.clip, z[g_at]);
    const V c_next = Plain::next_c(i, f, g, c);
    if (PEEPHOLE) z[o_at] = multiply_add(peephole[peepholes - 1], c_next, z[o_at]);
    state[0] = clipped(by.gate, by.clip, z[o_at]) * activated(by.output, c_next);
    state[1] = c_next;
  }

  template <class V>
  static void backward(V (&z)[slots], const V (&prev)[2], V (&d)[2], const V* peephole,
                       V* dpeephole, const Activations<typename V::Scalar>& by) {
    const V c = prev[1];
    const V i = clipped(by.gate, by.clip, z[0]);
    const V f = COUPLED ? V::broadcast(1) - i : clipped(by.gate, by.clip, z[1]);
    const V g = clipped(by.candidate, by.clip, z[g_at]);
    const V o = clipped(by.gate, by.clip, z[o_at]);
    const V c_next = Plain::next_c(i, f, g, c);
    const V dz_o = d[0] * activated(by.output, c_next) * clipped_slope(by.gate, by.clip, z[o_at]);
    V dc = multiply_add(d[0] * o, slope(by.output, c_next), d[1]);
    if (PEEPHOLE) dc = multiply_add(dz_o, peephole[peepholes - 1], dc);
    const V di = COUPLED ? dc * (g - c) : dc * g;
    z[0] = di * clipped_slope(by.gate, by.clip, z[0]);
    if (!COUPLED) z[1] = dc * c * clipped_slope(by.gate, by.clip, z[1]);
    z[g_at] = dc * i * clipped_slope(by.candidate, by.clip, z[g_at]);
    z[o_at] = dz_o;
    d[1] = dc * f;
    if (!PEEPHOLE) return;
    d[1] = multiply_add(z[0], peephole[0], d[1]);
    dpeephole[0] = multiply_add(z[0], c, dpeephole[0]);
    if (!COUPLED) {
      d[1] = multiply_add(z[1], peephole[1], d[1]);
      dpeephole[1] = multiply_add(z[1], c, dpeephole[1]);
    }
    dpeephole[peepholes - 1] = multiply_add(dz_o, c_next, dpeephole[peepholes - 1]);
  }
};

using LstmActivated = LstmActivatedCell<false, false>;
using LstmPeepholeActivated = LstmActivatedCell<true, false>;
using LstmCoupledActivated = LstmActivatedCell<false, true>;
using LstmCoupledPeepholeActivated = LstmActivatedCell<true, true>;

}  // namespace
}  // namespace pyrnn
