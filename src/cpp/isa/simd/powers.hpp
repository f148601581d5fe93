// Rounding to whole numbers, powers of two of them, and remainders, for any vector type.
#pragma once

#include <cstdint>
#include <limits>

namespace pyrnn {
namespace {

// A number so large that it has no fraction, 1.5 * 2^23 or 2^52: adding it rounds.
template <class T>
constexpr T no_fraction = T(3) * T(std::int64_t{1} << (std::numeric_limits<T>::digits - 2));

// The whole number nearest to x * factor, well below the number above
template <class V>
inline V rounded_product(V x, typename V::Scalar factor) {
  const V large = V::broadcast(no_fraction<typename V::Scalar>);
  return multiply_add(x, V::broadcast(factor), large) - large;
}

// a * 2^n for whole n; two factors, as 2^n alone may be out of range.
template <class V>
inline V scaled(V a, V n) {
  const V half = rounded_product(n, typename V::Scalar(0.5));
  return (a * power_of_two(half)) * power_of_two(n - half);
}

// a - q b, rounded once, for q that is about a / b
template <class V>
inline V remainder(V a, V q, V b) {
  return negative_multiply_add(q, b, a);
}

}  // namespace
}  // namespace pyrnn
