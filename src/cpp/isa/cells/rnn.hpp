// The vanilla cell: h' = f(z), z = W_ih x + b_ih + W_hh h + b_hh. Keeps h'.
#pragma once

#include "isa/simd/math.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

struct RnnTanh {
  static constexpr CellShape shape =
      CellShape::of_slots("rnn_tanh", {from_x_and_h(0)}).in_wide_panels();

  template <class V>
  static void forward(V (&z)[1], V (&state)[1], const V*) {
    z[0] = vector_tanh(z[0]);
    state[0] = z[0];
  }

  template <class V>
  static void backward(V (&z)[1], const V (&)[1], V (&d)[1], const V*, V*) {
    const V h = z[0];
    z[0] = d[0] * negative_multiply_add(h, h, V::broadcast(1));
  }
};

struct RnnRelu {
  static constexpr CellShape shape =
      CellShape::of_slots("rnn_relu", {from_x_and_h(0)}).in_wide_panels();

  template <class V>
  static void forward(V (&z)[1], V (&state)[1], const V*) {
    z[0] = maximum(V::zero(), z[0]);
    state[0] = z[0];
  }

  template <class V>
  static void backward(V (&z)[1], const V (&)[1], V (&d)[1], const V*, V*) {
    z[0] = select(V::zero() < z[0], d[0], V::zero());
  }
};

}  // namespace
}  // namespace pyrnn
