// Softmax and cross-entropy of rows of logits, with the gradient.
#pragma once

#include <cmath>
#include <limits>

#include "isa/simd/lanes.hpp"
#include "isa/simd/math.hpp"
#include "isa/simd/partial.hpp"

namespace pyrnn {
namespace {

template <class V>
inline typename V::Scalar largest_lane(V x) {
  typename V::Scalar lanes[V::lanes];
  x.store(lanes);
  auto largest = lanes[0];
  for (int i = 1; i < V::lanes; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}

// The natural logarithm of a number from 1 on. The C library's depends on its version and on the
// processor. x = 2^e m with m about 1, and ln m = 2 artanh(s) with s = (m - 1) / (m + 1), whose
// series is long enough for |s| up to 0.172; the error is less than one unit in the last place.
inline double logarithm(double x) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!(x < infinity)) return x;
  constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  int exponent;
  double m = std::frexp(x, &exponent);  // in [0.5, 1)
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  const double f = m - 1, s = f / (2 + f), square = s * s;
  double series = 0;
  for (int i = 23; i >= 3; i -= 2) series = (series + 2.0 / i) * square;
  return exponent * ln2_high - ((s * (f - series) - exponent * ln2_low) - f);
}

// (rows, columns), (rows,) -> (rows, columns), (rows,)
template <class V>
void softmax_cross_entropy(const typename V::Scalar* logits, const std::int64_t* targets,
                           typename V::Scalar* dlogits, double* losses, Size rows, Size columns) {
  using T = typename V::Scalar;
  for (Size row = 0; row < rows; ++row, logits += columns, dlogits += columns) {
    V largest = V::broadcast(logits[0]);
    Size j = 0;
    for (; j + V::lanes <= columns; j += V::lanes) largest = maximum(largest, V::load(logits + j));
    T top = largest_lane(largest);
    for (; j < columns; ++j) top = logits[j] > top ? logits[j] : top;
    RowSum<V> sum;
    each_in_blocks<V>(columns, [&](Size column, int index) {
      const V e = vector_exp(load_some<V>(logits + column, columns - column) - V::broadcast(top));
      store_some<V>(e, dlogits + column, columns - column);
      sum.add(index, without_padding(e, columns - column));
    });
    const T total = sum.total();
    const V factor = V::broadcast(T(1) / total);
    for (j = 0; j < columns; j += V::lanes)
      store_some<V>(load_some<V>(dlogits + j, columns - j) * factor, dlogits + j, columns - j);
    losses[row] = logarithm(static_cast<double>(total)) -
                  (static_cast<double>(logits[targets[row]]) - static_cast<double>(top));
    dlogits[targets[row]] -= T(1);
  }
}

}  // namespace
}  // namespace pyrnn
