// Sums across the lanes of a vector, in their order.
#pragma once

#include "isa/simd/vector.hpp"

namespace pyrnn {
namespace {

template <class V>
inline typename V::Scalar sum_of_lanes(V x) {
  typename V::Scalar lanes[V::lanes], total = 0;
  x.store(lanes);
  for (int i = 0; i < V::lanes; ++i) total += lanes[i];
  return total;
}

}  // namespace
}  // namespace pyrnn
