// Nothing but multiply-adds in registers: what the processor can do at most.
#pragma once

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// Returns how many floating-point operations it did.
template <class V>
double fma_loop(Size iterations, typename V::Scalar* sink) {
  constexpr int chains = 12;  // enough to hide the latency of two multiply-add units
  V sums[chains];
  const V factor = V::broadcast(typename V::Scalar(0.999));
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) sums[i] = V::broadcast(typename V::Scalar(i));
  for (Size n = 0; n < iterations; ++n) {
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) sums[i] = multiply_add(sums[i], factor, factor);
  }
#pragma GCC unroll 16
  for (int i = 1; i < chains; ++i) sums[0] = sums[0] + sums[i];
  sums[0].store(sink);
  return 2.0 * chains * V::lanes * static_cast<double>(iterations);
}

}  // namespace
}  // namespace pyrnn
