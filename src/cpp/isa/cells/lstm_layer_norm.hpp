// Layer-normalised LSTM: slots i f g o of x, then i f g o of h; states h c.
//   z = gain_ih n(x W_ih) + bias_ih + gain_hh n(h W_hh) + bias_hh
//   c' = f c + i g,  h' = o tanh(gain_c n(c') + bias_c)
// Where the layer says so, it carries gain_c n(c') + bias_c in place of c'.
#pragma once

#include "isa/simd/layer_norm.hpp"

namespace pyrnn {
namespace {

// Each gate has two slots, because each product is normalised by itself.
constexpr CellShape lstm_layer_norm_shape() {
  constexpr int i = 0, f = 1, g = 2, o = 3;
  return CellShape::of_slots("lstm_layer_norm", {from_x(i), from_x(f), from_x(g), from_x(o),
                                                 from_h(i), from_h(f), from_h(g), from_h(o)})
      .carrying(2)
      .over_whole_rows(6)
      .with({"gain_ih", 4})
      .with({"gain_hh", 4})
      .with({"bias_ih", 4})
      .with({"bias_hh", 4})
      .with({"gain_c", 1})
      .with({"bias_c", 1})
      .activated();
}

struct LstmLayerNorm {
  static constexpr CellShape shape = lstm_layer_norm_shape();
  // blocks of unit parameters
  static constexpr int gain_ih = 0, gain_hh = 4, bias_ih = 8, bias_hh = 12, gain_c = 16,
                       bias_c = 17;

  template <class V>
  struct Gates {
    V i, f, g, o;
  };

  template <class V>
  static Gates<V> gates_of(const typename V::Scalar* row, const Moments<V>& x, const Moments<V>& h,
                           const typename V::Scalar* parameters, Size block) {
    using T = typename V::Scalar;
    V z[4];
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const auto parameter = [&](int first) { return V::load(parameters + (first + s) * block); };
      const V of_x = multiply_add(
          parameter(gain_ih), x.normalised(V::load(row + s * block_units<T>)), parameter(bias_ih));
      z[s] = of_x + multiply_add(parameter(gain_hh),
                                 h.normalised(V::load(row + (4 + s) * block_units<T>)),
                                 parameter(bias_hh));
    }
    return {vector_sigmoid(z[0]), vector_sigmoid(z[1]), vector_tanh(z[2]), vector_sigmoid(z[3])};
  }

  template <class V>
  static void forward_rows(const StepForward<typename V::Scalar>& q) {
    using T = typename V::Scalar;
    const T eps = q.activations->eps;
    for (Size row = 0; row < q.rows; ++row) {
      const auto* z = q.gates + row * q.gates_row;
      const auto* c = q.inner_prev + row * q.inner_row;
      auto* c_next = q.inner_next + row * q.inner_row;
      auto* h_next = q.h_next + row * q.h_next_row;
      const Moments<V> x = moments<V, shape.slots, 4>(z, q.units, eps);
      const Moments<V> h = moments<V, shape.slots, 4>(z + 4 * block_units<T>, q.units, eps);
      for (Size unit = 0; unit < q.units; unit += V::lanes) {
        const Gates<V> gates =
            gates_of(z + offset_in_row<T>(unit, shape.slots), x, h, q.unit + unit, q.unit_block);
        multiply_add(gates.f, V::load(c + unit), gates.i * gates.g).store(c_next + unit);
        store_some<V>(gates.o, h_next + unit, q.units - unit);
      }
      const Moments<V> of_c = moments<V, 1, 1>(c_next, q.units, eps);
      for (Size unit = 0; unit < q.units; unit += V::lanes) {
        const V normal = multiply_add(V::load(q.unit + gain_c * q.unit_block + unit),
                                      of_c.normalised(V::load(c_next + unit)),
                                      V::load(q.unit + bias_c * q.unit_block + unit));
        const V o = load_some<V>(h_next + unit, q.units - unit);
        store_some<V>(o * vector_tanh(normal), h_next + unit, q.units - unit);
        if (q.activations->normalised_state) normal.store(c_next + unit);
      }
    }
  }

  template <class V>
  static void backward_row(const StepBackward<typename V::Scalar>& q, Size row) {
    using T = typename V::Scalar;
    const Size block = q.unit_block;
    const T eps = q.activations->eps;
    const bool carries_normal = q.activations->normalised_state;
    const V one = V::broadcast(1);
    const T* const z = q.gates + row * q.gates_row;
    const T* const c = q.inner_prev + row * q.inner_row;
    const T* const dy = q.dy == nullptr ? nullptr : q.dy + row * q.dy_row;
    const T* const dh = q.dh + row * q.d_row;
    T* const dc = q.dinner + row * q.d_row;
    T* const dunit = q.dunit + row * shape.unit_blocks() * block;
    T* const s = q.scratch;  // i f g o, later their gradients; c'; gradient of n(c')
    const Moments<V> x = moments<V, shape.slots, 4>(z, q.units, eps);
    const Moments<V> h = moments<V, shape.slots, 4>(z + 4 * block_units<T>, q.units, eps);
    for (Size unit = 0; unit < q.units; unit += V::lanes) {
      const Gates<V> gates =
          gates_of(z + offset_in_row<T>(unit, shape.slots), x, h, q.unit + unit, block);
      gates.i.store(s + unit);
      gates.f.store(s + block + unit);
      gates.g.store(s + 2 * block + unit);
      gates.o.store(s + 3 * block + unit);
      multiply_add(gates.f, V::load(c + unit), gates.i * gates.g).store(s + 4 * block + unit);
    }
    const Moments<V> of_c = moments<V, 1, 1>(s + 4 * block, q.units, eps);
    NormBackward<V> back;
    each_in_blocks<V>(q.units, [&](Size unit, int index) {
      const V o = V::load(s + 3 * block + unit);
      const V n = of_c.normalised(V::load(s + 4 * block + unit));
      const V gain = V::load(q.unit + gain_c * block + unit);
      const V tanh_c = vector_tanh(multiply_add(gain, n, V::load(q.unit + bias_c * block + unit)));
      V d = V::load(dh + unit);
      if (dy != nullptr) d = d + load_some<V>(dy + unit, q.units - unit);
      V dz = d * o * negative_multiply_add(tanh_c, tanh_c, one);
      if (carries_normal) dz = dz + V::load(dc + unit);
      add_to(dunit + gain_c * block + unit, dz * n);
      add_to(dunit + bias_c * block + unit, dz);
      back.add(index, dz * gain, n, q.units - unit);
      (dz * gain).store(s + 5 * block + unit);
      (d * tanh_c * (o * (one - o))).store(s + 3 * block + unit);
    });
    back.finish(q.units);
    for (Size unit = 0; unit < q.units; unit += V::lanes) {
      const V i = V::load(s + unit), f = V::load(s + block + unit);
      const V g = V::load(s + 2 * block + unit);
      const V n = of_c.normalised(V::load(s + 4 * block + unit));
      V dc_next = back.da(of_c, V::load(s + 5 * block + unit), n);
      if (!carries_normal) dc_next = V::load(dc + unit) + dc_next;
      (dc_next * g * (i * (one - i))).store(s + unit);
      (dc_next * V::load(c + unit) * (f * (one - f))).store(s + block + unit);
      (dc_next * i * negative_multiply_add(g, g, one)).store(s + 2 * block + unit);
      without_padding(dc_next * f, q.units - unit).store(dc + unit);
    }
    const T* const dz[4] = {s, s + block, s + 2 * block, s + 3 * block};
    T* const dgates = q.dgates + row * q.dgates_row;
    backward_side<V, shape.slots>(z, dgates, q.units, x, dz, q.unit + gain_ih * block,
                                  dunit + gain_ih * block, dunit + bias_ih * block, block);
    backward_side<V, shape.slots>(z + 4 * block_units<T>, dgates + 4 * block_units<T>, q.units, h,
                                  dz, q.unit + gain_hh * block, dunit + gain_hh * block,
                                  dunit + bias_hh * block, block);
  }
};

}  // namespace
}  // namespace pyrnn
