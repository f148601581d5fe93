// Layer-normalised GRU, the reset after the product: slots r z n of x, then r z n of h.
//   a = gain_ih n(x W_ih) + bias_ih,  b = gain_hh n(h W_hh) + bias_hh
//   r = sigma(a_r + b_r),  z = sigma(a_z + b_z),  n = tanh(a_n + r b_n),  h' = (1 - z) n + z h
#pragma once

#include "isa/simd/layer_norm.hpp"

namespace pyrnn {
namespace {

// Each gate has two slots, because each product is normalised by itself.
constexpr CellShape gru_layer_norm_shape() {
  constexpr int r = 0, z = 1, n = 2;
  return CellShape::of_slots("gru_layer_norm",
                             {from_x(r), from_x(z), from_x(n), from_h(r), from_h(z), from_h(n)})
      .passing_h()
      .over_whole_rows(4)
      .with({"gain_ih", 3})
      .with({"gain_hh", 3})
      .with({"bias_ih", 3})
      .with({"bias_hh", 3})
      .activated();
}

struct GruLayerNorm {
  static constexpr CellShape shape = gru_layer_norm_shape();
  // blocks of unit parameters
  static constexpr int gain_ih = 0, gain_hh = 3, bias_ih = 6, bias_hh = 9;

  template <class V>
  struct Gates {
    V r, z, n, hidden_n;
  };

  template <class V>
  static Gates<V> gates_of(const typename V::Scalar* row, const Moments<V>& x, const Moments<V>& h,
                           const typename V::Scalar* parameters, Size block) {
    using T = typename V::Scalar;
    V a[3], b[3];
#pragma GCC unroll 3
    for (int s = 0; s < 3; ++s) {
      const auto parameter = [&](int first) { return V::load(parameters + (first + s) * block); };
      a[s] = multiply_add(parameter(gain_ih), x.normalised(V::load(row + s * block_units<T>)),
                          parameter(bias_ih));
      b[s] = multiply_add(parameter(gain_hh), h.normalised(V::load(row + (3 + s) * block_units<T>)),
                          parameter(bias_hh));
    }
    const V r = vector_sigmoid(a[0] + b[0]);
    return {r, vector_sigmoid(a[1] + b[1]), vector_tanh(multiply_add(r, b[2], a[2])), b[2]};
  }

  template <class V>
  static void forward_rows(const StepForward<typename V::Scalar>& q) {
    using T = typename V::Scalar;
    const T eps = q.activations->eps;
    for (Size row = 0; row < q.rows; ++row) {
      const auto* z = q.gates + row * q.gates_row;
      const Moments<V> x = moments<V, shape.slots, 3>(z, q.units, eps);
      const Moments<V> h = moments<V, shape.slots, 3>(z + 3 * block_units<T>, q.units, eps);
      for (Size unit = 0; unit < q.units; unit += V::lanes) {
        const Size valid = q.units - unit;
        const Gates<V> gates =
            gates_of(z + offset_in_row<T>(unit, shape.slots), x, h, q.unit + unit, q.unit_block);
        const V h_prev = load_some<V>(q.h_prev + row * q.h_prev_row + unit, valid);
        store_some<V>(mixed(gates.z, h_prev, gates.n), q.h_next + row * q.h_next_row + unit, valid);
      }
    }
  }

  template <class V>
  static void backward_row(const StepBackward<typename V::Scalar>& q, Size row) {
    using T = typename V::Scalar;
    const Size block = q.unit_block;
    const T eps = q.activations->eps;
    const V one = V::broadcast(1);
    const T* const z = q.gates + row * q.gates_row;
    T* const dh = q.dh + row * q.d_row;
    T* const dunit = q.dunit + row * shape.unit_blocks() * block;
    T* const s = q.scratch;  // gradients of r z n, and of b_n
    const Moments<V> x = moments<V, shape.slots, 3>(z, q.units, eps);
    const Moments<V> h = moments<V, shape.slots, 3>(z + 3 * block_units<T>, q.units, eps);
    for (Size unit = 0; unit < q.units; unit += V::lanes) {
      const Size valid = q.units - unit;
      const Gates<V> gates =
          gates_of(z + offset_in_row<T>(unit, shape.slots), x, h, q.unit + unit, block);
      const V h_prev = load_some<V>(q.h_prev + row * q.h_prev_row + unit, valid);
      V d = V::load(dh + unit);
      if (q.dy != nullptr) d = d + load_some<V>(q.dy + row * q.dy_row + unit, valid);
      const V dn = d * (one - gates.z) * negative_multiply_add(gates.n, gates.n, one);
      (dn * gates.hidden_n * (gates.r * (one - gates.r))).store(s + unit);
      (d * (h_prev - gates.n) * (gates.z * (one - gates.z))).store(s + block + unit);
      dn.store(s + 2 * block + unit);
      (dn * gates.r).store(s + 3 * block + unit);
      (d * gates.z).store(dh + unit);
    }
    const T* const dz_x[3] = {s, s + block, s + 2 * block};
    const T* const dz_h[3] = {s, s + block, s + 3 * block};
    T* const dgates = q.dgates + row * q.dgates_row;
    backward_side<V, shape.slots>(z, dgates, q.units, x, dz_x, q.unit + gain_ih * block,
                                  dunit + gain_ih * block, dunit + bias_ih * block, block);
    backward_side<V, shape.slots>(z + 3 * block_units<T>, dgates + 3 * block_units<T>, q.units, h,
                                  dz_h, q.unit + gain_hh * block, dunit + gain_hh * block,
                                  dunit + bias_hh * block, block);
  }
};

}  // namespace
}  // namespace pyrnn
