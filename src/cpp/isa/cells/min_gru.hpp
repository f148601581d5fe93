// minGRU: slots z n, both of x alone; what h does is one multiply-add a unit.
//   z = sigma(z_z),  n = z_n,  h' = (1 - z) h + z n        Keeps z n; h comes along.
#pragma once

#include "isa/simd/math.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

constexpr CellShape min_gru_shape() {
  constexpr int z = 0, n = 1;
  return CellShape::of_slots("min_gru", {from_x(z), from_x(n)}).passing_h();
}

struct MinGru {
  static constexpr CellShape shape = min_gru_shape();

  template <class V>
  static void forward(V (&z)[2], V (&state)[1], const V*) {
    z[0] = vector_sigmoid(z[0]);
    // One multiply-add after h; n - h would make NaN of infinities.
    state[0] = multiply_add(V::broadcast(1) - z[0], state[0], z[0] * z[1]);
  }

  template <class V>
  static void backward(V (&z)[2], const V (&prev)[1], V (&d)[1], const V*, V*) {
    const V one = V::broadcast(1);
    const V update = z[0], n = z[1];
    z[0] = d[0] * (n - prev[0]) * (update * (one - update));
    z[1] = d[0] * update;
    d[0] = d[0] * (one - update);
  }
};

}  // namespace
}  // namespace pyrnn
