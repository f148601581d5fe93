// LSTM: slots i f g o; states h c.
//   c' = f c + i g,  h' = o tanh(c')        Keeps i f g o; c and c' come with the states.
#pragma once

#include "isa/simd/math.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

struct Lstm {
  static constexpr CellShape shape{"lstm", 4, 2, 4, 0, 4, 0, 4, {0, 1, 2, 3}, false, 1};

  template <class V>
  static void forward(V (&z)[4], V (&state)[2]) {
    const V i = vector_sigmoid(z[0]);
    const V f = vector_sigmoid(z[1]);
    const V g = vector_tanh(z[2]);
    const V o = vector_sigmoid(z[3]);
    const V c = multiply_add(f, state[1], i * g);
    state[0] = o * vector_tanh(c);
    state[1] = c;
    z[0] = i;
    z[1] = f;
    z[2] = g;
    z[3] = o;
  }

  template <class V>
  static void backward(V (&z)[4], const V (&prev)[2], const V (&next)[2], V (&d)[2]) {
    const V one = V::broadcast(1);
    const V i = z[0], f = z[1], g = z[2], o = z[3];
    const V tanh_c = vector_tanh(next[1]);
    const V dc = multiply_add(d[0] * o, negative_multiply_add(tanh_c, tanh_c, one), d[1]);
    z[0] = dc * g * (i * (one - i));
    z[1] = dc * prev[1] * (f * (one - f));
    z[2] = dc * i * negative_multiply_add(g, g, one);
    z[3] = d[0] * tanh_c * (o * (one - o));
    d[1] = dc * f;
  }
};

}  // namespace
}  // namespace pyrnn
