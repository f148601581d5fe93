// LSTM: slots i f g o; states h c.
//   c' = f c + i g,  h' = o tanh(c')        Keeps i f g o; c comes with the states.
// Peepholes show c to the gates i and f, and c' to o. Coupled, f = 1 - i, and there is no slot f.
#pragma once

#include "isa/simd/math.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

template <bool PEEPHOLE, bool COUPLED>
constexpr CellShape lstm_shape() {
  if (COUPLED) {
    constexpr int i = 0, g = 1, o = 2;
    CellShape shape = CellShape::of_slots(PEEPHOLE ? "lstm_coupled_peephole" : "lstm_coupled",
                                          {from_x_and_h(i), from_x_and_h(g), from_x_and_h(o)})
                          .carrying(2);
    if (PEEPHOLE) shape.with({"weight_peephole", 2});
    return shape;
  }
  constexpr int i = 0, f = 1, g = 2, o = 3;
  CellShape shape =
      CellShape::of_slots(PEEPHOLE ? "lstm_peephole" : "lstm",
                          {from_x_and_h(i), from_x_and_h(f), from_x_and_h(g), from_x_and_h(o)})
          .carrying(2);
  if (PEEPHOLE) shape.with({"weight_peephole", 3});
  return shape;
}

template <bool PEEPHOLE, bool COUPLED>
struct LstmCell {
  static constexpr CellShape shape = lstm_shape<PEEPHOLE, COUPLED>();
  static constexpr int slots = shape.slots;
  static constexpr int peepholes = slots - 1;  // i f o, or i o
  static constexpr int g_at = slots - 2, o_at = slots - 1;

  template <class V>
  static V next_c(V i, V f, V g, V c) {
    return multiply_add(f, c, i * g);
  }

  template <class V>
  static void forward(V (&z)[slots], V (&state)[2], const V* peephole) {
    const V c = state[1];
    if (PEEPHOLE) {
      z[0] = multiply_add(peephole[0], c, z[0]);
      if (!COUPLED) z[1] = multiply_add(peephole[1], c, z[1]);
    }
    const V i = vector_sigmoid(z[0]);
    const V f = COUPLED ? V::broadcast(1) - i : vector_sigmoid(z[1]);
    const V g = vector_tanh(z[g_at]);
    const V c_next = next_c(i, f, g, c);
    if (PEEPHOLE) z[o_at] = multiply_add(peephole[peepholes - 1], c_next, z[o_at]);
    const V o = vector_sigmoid(z[o_at]);
    state[0] = o * vector_tanh(c_next);
    state[1] = c_next;
    z[0] = i;
    if (!COUPLED) z[1] = f;
    z[g_at] = g;
    z[o_at] = o;
  }

  template <class V>
  static void backward(V (&z)[slots], const V (&prev)[2], V (&d)[2], const V* peephole,
                       V* dpeephole) {
    const V one = V::broadcast(1);
    const V i = z[0], f = COUPLED ? one - i : z[1];
    const V g = z[g_at], o = z[o_at], c = prev[1];
    const V c_next = next_c(i, f, g, c);
    const V tanh_c = vector_tanh(c_next);
    V dc = multiply_add(d[0] * o, negative_multiply_add(tanh_c, tanh_c, one), d[1]);
    const V dz_o = d[0] * tanh_c * (o * (one - o));
    if (PEEPHOLE) dc = multiply_add(dz_o, peephole[peepholes - 1], dc);
    const V di = COUPLED ? dc * (g - c) : dc * g;
    z[0] = di * (i * (one - i));
    if (!COUPLED) z[1] = dc * c * (f * (one - f));
    z[g_at] = dc * i * negative_multiply_add(g, g, one);
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

using Lstm = LstmCell<false, false>;
using LstmPeephole = LstmCell<true, false>;
using LstmCoupled = LstmCell<false, true>;
using LstmCoupledPeephole = LstmCell<true, true>;

}  // namespace
}  // namespace pyrnn
