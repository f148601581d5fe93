// The natural logarithm, one number at a time: of sums, which are few.
#pragma once

#include <cmath>
#include <limits>

#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// The C library's depends on its version and on the processor. x = 2^e m with m about 1, and
// ln m = 2 artanh(s) with s = (m - 1) / (m + 1), whose series is long enough for |s| up to 0.172;
// the error is less than one unit in the last place. -inf at 0, NaN below.
inline double logarithm(double x) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!(x > 0)) return x == 0 ? -infinity : std::numeric_limits<double>::quiet_NaN();
  if (x == infinity) return x;
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

// ln(1 + x) for x >= 0, exact to rounding also where x is small (Higham, Accuracy and Stability of
// Numerical Algorithms, section 1.14).
inline double logarithm_of_one_and(double x) {
  const double sum = 1 + x;
  return sum == 1 ? x : x * logarithm(sum) / (sum - 1);
}

template <class T>
void map_logarithm(const T* x, T* y, Size n) {
  for (Size i = 0; i < n; ++i) y[i] = static_cast<T>(logarithm(static_cast<double>(x[i])));
}

}  // namespace
}  // namespace pyrnn
