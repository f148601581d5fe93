// GRU with the reset after the product: slots n r z and what the hidden state adds to n.
//   n = tanh(z_n + r hidden_n),  h' = (1 - z) n + z h      Keeps n r z hidden_n; h comes along.
#pragma once

#include "isa/simd/math.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// n has two slots, because r is multiplied only with the part of n that comes from h.
constexpr CellShape gru_shape() {
  constexpr int r = 0, z = 1, n = 2;
  return CellShape::of_slots("gru", {from_x(n), from_x_and_h(r), from_x_and_h(z), from_h(n)})
      .passing_h();
}

struct Gru {
  static constexpr CellShape shape = gru_shape();

  template <class V>
  static void forward(V (&z)[4], V (&state)[1], const V*) {
    const V r = vector_sigmoid(z[1]);
    const V update = vector_sigmoid(z[2]);
    const V n = vector_tanh(multiply_add(r, z[3], z[0]));
    state[0] = mixed(update, state[0], n);
    z[0] = n;
    z[1] = r;
    z[2] = update;
  }

  template <class V>
  static void backward(V (&z)[4], const V (&prev)[1], V (&d)[1], const V*, V*) {
    const V one = V::broadcast(1);
    const V n = z[0], r = z[1], update = z[2], hidden_n = z[3];
    const V dn = d[0] * (one - update) * negative_multiply_add(n, n, one);
    z[0] = dn;
    z[1] = dn * hidden_n * (r * (one - r));
    z[2] = d[0] * (prev[0] - n) * (update * (one - update));
    z[3] = dn * r;
    d[0] = d[0] * update;
  }
};

}  // namespace
}  // namespace pyrnn
