// Vectors at the end of an array, of which only the first lanes are there.
#pragma once

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

template <class V>
inline V load_some(const typename V::Scalar* p, Size valid) {
  return valid >= V::lanes ? V::load(p) : V::load_partial(p, valid);
}

template <class V>
inline void store_some(V x, typename V::Scalar* p, Size valid) {
  if (valid >= V::lanes) {
    x.store(p);
  } else {
    x.store_partial(p, valid);
  }
}

template <class V>
struct LaneNumbers {
  alignas(64) typename V::Scalar values[V::lanes];
  constexpr LaneNumbers() : values() {
    for (int lane = 0; lane < V::lanes; ++lane)
      values[lane] = static_cast<typename V::Scalar>(lane);
  }
};

// Writes zeros to unused lanes: in a product they are multiplied with zero weights, and infinity
// times zero would be NaN.
template <class V>
inline V without_padding(V x, Size valid) {
  static constexpr LaneNumbers<V> numbers;
  if (valid >= V::lanes) return x;
  const V count = V::broadcast(static_cast<typename V::Scalar>(valid));
  return select(V::load(numbers.values) < count, x, V::zero());
}

}  // namespace
}  // namespace pyrnn
