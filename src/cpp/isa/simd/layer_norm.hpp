// What layer-normalised cells share: n(a) = (a - mean) / sqrt(variance + 1e-5) over all numbers of
// one side of a row of pre-activations, and its backward (Ba, Kiros, Hinton 2016).
//
// A row holds, panel after panel, the slots of x beside those of h. It is kept as the products left
// it: backward computes means and gates again, so that a cache needs no more than the row.
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
  V mean, scale;  // scale: 1 / sqrt(variance + 1e-5)
  V normalised(V a) const { return (a - mean) * scale; }
};

// Of the numbers of `units` units, each `VECTORS` vectors side by side, in steps of `stride`. Lanes
// past them have no part in it: they may hold NaN of an infinity in a step before, where zoneout
// has kept finite states.
template <class V, int VECTORS>
Moments<V> moments(const typename V::Scalar* row, Size stride, Size units) {
  using T = typename V::Scalar;
  const T count = static_cast<T>(units * VECTORS);
  V total = V::zero();
  const T* from = row;
  for (Size unit = 0; unit < units; unit += V::lanes, from += stride) {
#pragma GCC unroll 4
    for (int s = 0; s < VECTORS; ++s)
      total = total + without_padding(V::load(from + s * V::lanes), units - unit);
  }
  const V mean = V::broadcast(sum_of_lanes(total) / count);
  V squares = V::zero();
  from = row;
  for (Size unit = 0; unit < units; unit += V::lanes, from += stride) {
#pragma GCC unroll 4
    for (int s = 0; s < VECTORS; ++s) {
      const V apart = without_padding(V::load(from + s * V::lanes) - mean, units - unit);
      squares = multiply_add(apart, apart, squares);
    }
  }
  const T variance = sum_of_lanes(squares) / count;
  return {mean, V::broadcast(T(1) / std::sqrt(variance + T(1e-5)))};
}

// Gradients of a normalisation: da = scale (dn - mean(dn) - n mean(dn n)), from sums over the row.
template <class V>
struct NormBackward {
  V sum = V::zero(), product_sum = V::zero();

  // Of the first `valid` lanes
  void add(V dn, V n, Size valid) {
    dn = without_padding(dn, valid);
    sum = sum + dn;
    product_sum = multiply_add(dn, without_padding(n, valid), product_sum);
  }
  void finish(Size count) {
    const auto all = static_cast<typename V::Scalar>(count);
    sum = V::broadcast(sum_of_lanes(sum) / all);
    product_sum = V::broadcast(sum_of_lanes(product_sum) / all);
  }
  V da(const Moments<V>& at, V dn, V n) const {
    return at.scale * (dn - multiply_add(n, product_sum, sum));
  }
};

// One side of a row in the backward pass: its numbers `a` become their gradients. `dz` has the
// gradient of gain n(a) + bias for each gate; `gain`, `dgain` and `dbias` lie `block` numbers a
// gate apart.
template <class V, int GATES>
void backward_side(const typename V::Scalar* a, typename V::Scalar* da, Size stride, Size units,
                   const Moments<V>& at, const typename V::Scalar* const (&dz)[GATES],
                   const typename V::Scalar* gain, typename V::Scalar* dgain,
                   typename V::Scalar* dbias, Size block) {
  NormBackward<V> back;
  const auto* from = a;
  for (Size unit = 0; unit < units; unit += V::lanes, from += stride) {
#pragma GCC unroll 4
    for (int s = 0; s < GATES; ++s) {
      const V n = at.normalised(V::load(from + s * V::lanes));
      const V d = V::load(dz[s] + unit);
      back.add(d * V::load(gain + s * block + unit), n, units - unit);
      multiply_add(d, n, V::load(dgain + s * block + unit)).store(dgain + s * block + unit);
      add_to(dbias + s * block + unit, d);
    }
  }
  back.finish(units * GATES);
  for (Size unit = 0; unit < units; unit += V::lanes, a += stride, da += stride) {
#pragma GCC unroll 4
    for (int s = 0; s < GATES; ++s) {
      const V n = at.normalised(V::load(a + s * V::lanes));
      const V dn = V::load(dz[s] + unit) * V::load(gain + s * block + unit);
      without_padding(back.da(at, dn, n), units - unit).store(da + s * V::lanes);
    }
  }
}

}  // namespace
}  // namespace pyrnn
