// What layer-normalised cells share: n(a) = (a - mean) / sqrt(variance + eps) over all numbers of
// one side of a row of pre-activations, and its backward (Ba, Kiros, Hinton 2016).
//
// A row holds, block after block, the slots of x beside those of h. It is kept as the products left
// it: the backward pass computes means and gates again, so that a cache needs no more than the row.
#pragma once

#include <cmath>

#include "isa/simd/lanes.hpp"
#include "isa/simd/math.hpp"
#include "isa/simd/partial.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

template <class V>
inline void add_to(typename V::Scalar* sum, V x) {
  (V::load(sum) + x).store(sum);
}

template <class V>
struct Moments {
  V mean, scale;  // scale: 1 / sqrt(variance + eps)
  V normalised(V a) const { return (a - mean) * scale; }
};

// Of the numbers of `units` units in SUMMED slots, from the row's first or another on, of SLOTS
// that it has. Lanes past them have no part in it: they may hold NaN of an infinity in a step
// before, where zoneout has kept finite states.
template <class V, int SLOTS, int SUMMED>
Moments<V> moments(const typename V::Scalar* row, Size units, typename V::Scalar eps) {
  using T = typename V::Scalar;
  const T count = static_cast<T>(units * SUMMED);
  const auto each = [&](const auto& work) {
    each_in_blocks<V>(units, [&](Size unit, int index) {
      const T* const from = row + offset_in_row<T>(unit, SLOTS);
#pragma GCC unroll 4
      for (int s = 0; s < SUMMED; ++s)
        work(index, V::load(from + s * block_units<T>), units - unit);
    });
  };
  RowSum<V> sum, squares;
  each([&](int index, V x, Size valid) { sum.add(index, without_padding(x, valid)); });
  const V mean = V::broadcast(sum.total() / count);
  each([&](int index, V x, Size valid) {
    const V apart = without_padding(x - mean, valid);
    squares.add_product(index, apart, apart);
  });
  const T variance = squares.total() / count;
  return {mean, V::broadcast(T(1) / std::sqrt(variance + eps))};
}

// Gradients of a normalisation: da = scale (dn - mean(dn) - n mean(dn n)), from sums over the row.
template <class V>
struct NormBackward {
  RowSum<V> sum, product_sum;
  V mean, product_mean;

  // Of the first `valid` lanes of a vector of a block
  void add(int index, V dn, V n, Size valid) {
    dn = without_padding(dn, valid);
    sum.add(index, dn);
    product_sum.add_product(index, dn, without_padding(n, valid));
  }
  void finish(Size count) {
    const auto all = static_cast<typename V::Scalar>(count);
    mean = V::broadcast(sum.total() / all);
    product_mean = V::broadcast(product_sum.total() / all);
  }
  V da(const Moments<V>& moments, V dn, V n) const {
    return moments.scale * (dn - multiply_add(n, product_mean, mean));
  }
};

// One side of a row in the backward pass: its numbers `a` become their gradients. `dz` has the
// gradient of gain n(a) + bias for each gate; `gain`, `dgain` and `dbias` lie `block` numbers a
// gate apart.
template <class V, int SLOTS, int GATES>
void backward_side(const typename V::Scalar* a, typename V::Scalar* da, Size units,
                   const Moments<V>& moments, const typename V::Scalar* const (&dz)[GATES],
                   const typename V::Scalar* gain, typename V::Scalar* dgain,
                   typename V::Scalar* dbias, Size block) {
  using T = typename V::Scalar;
  NormBackward<V> back;
  each_in_blocks<V>(units, [&](Size unit, int index) {
    const T* const from = a + offset_in_row<T>(unit, SLOTS);
#pragma GCC unroll 4
    for (int s = 0; s < GATES; ++s) {
      const V n = moments.normalised(V::load(from + s * block_units<T>));
      const V d = V::load(dz[s] + unit);
      back.add(index, d * V::load(gain + s * block + unit), n, units - unit);
      multiply_add(d, n, V::load(dgain + s * block + unit)).store(dgain + s * block + unit);
      add_to(dbias + s * block + unit, d);
    }
  });
  back.finish(units * GATES);
  for (Size unit = 0; unit < units; unit += V::lanes) {
    const Size offset = offset_in_row<T>(unit, SLOTS);
#pragma GCC unroll 4
    for (int s = 0; s < GATES; ++s) {
      const Size slot = offset + s * block_units<T>;
      const V n = moments.normalised(V::load(a + slot));
      const V dn = V::load(dz[s] + unit) * V::load(gain + s * block + unit);
      back.da(moments, dn, n).store(da + slot);
    }
  }
}

}  // namespace
}  // namespace pyrnn
