// exp, sigmoid and tanh of a vector, for any vector type.
//
// All three reduce to expm1: y = n ln 2 + r with |r| <= ln 2 / 2, and t = e^r - 1 from a minimax
// polynomial (own Remez fits). docs/numerics.md has the largest errors, which
// tests/core/test_math_functions.py bounds for all arguments of float. They hold for every
// argument, subnormal results included, as long as the processor does not flush subnormals. All
// three are monotone. exp(±inf), sigmoid(±inf), tanh(±inf), NaN and ±0 give what the functions'
// limits say.
#pragma once

#include "isa/simd/powers.hpp"
#include "isa/simd/vector.hpp"

namespace pyrnn {
namespace {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr float log2e = 1.44269504088896341f;
  static constexpr float ln2_high = 0.693359375f;  // few bits: n * ln2_high is exact
  static constexpr float ln2_low = -2.12194440e-4f;
  static constexpr int degree = 4;
  // (e^r - 1 - r) / r^2
  static constexpr float polynomial[degree + 1] = {
      0.49999993432129290236f, 0.16666520399042530069f, 0.041668390783547913136f,
      0.0083687451089425906506f, 0.0013814540176801306354f};
  static constexpr float exp_low = -104.5f;  // e^x rounds to 0 below
  static constexpr float exp_high = 89.0f;   // and overflows above
  static constexpr float lost_low = -40.0f;  // e^x is lost beside 1 below
  static constexpr bool tanh_refined = false;
};

template <>
struct MathConstants<double> {
  static constexpr double log2e = 1.44269504088896340736;
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr int degree = 9;
  static constexpr double polynomial[degree + 1] = {
      0.5000000000000010014,    0.16666666666666634014,   0.041666666666536682270,
      0.0083333333333516488580, 0.0013888888941798430920, 0.00019841269816654661176,
      2.4801495019242491342e-5, 2.7557309312312047021e-6, 2.7629571090954836420e-7,
      2.5087677470087177019e-8};
  static constexpr double exp_low = -746.0;
  static constexpr double exp_high = 710.0;
  static constexpr double lost_low = -80.0;
  static constexpr bool tanh_refined = true;  // without it, tanh would not be monotone
};

// e^r - 1
template <class V>
inline V reduced_expm1(V r) {
  using C = MathConstants<typename V::Scalar>;
  V p = V::broadcast(C::polynomial[C::degree]);
#pragma GCC unroll 16
  for (int i = C::degree - 1; i >= 0; --i) p = multiply_add(p, r, V::broadcast(C::polynomial[i]));
  return multiply_add(r * r, p, r);
}

// y - n ln 2
template <class V>
inline V reduced(V y, V n) {
  using C = MathConstants<typename V::Scalar>;
  const V r = negative_multiply_add(n, V::broadcast(C::ln2_high), y);
  return negative_multiply_add(n, V::broadcast(C::ln2_low), r);
}

template <class V>
inline V vector_exp(V x) {
  using C = MathConstants<typename V::Scalar>;
  const V y = minimum(V::broadcast(C::exp_high), maximum(V::broadcast(C::exp_low), x));
  const V n = rounded_product(y, C::log2e);
  return scaled(V::broadcast(1) + reduced_expm1(reduced(y, n)), n);
}

// 1 / (1 + e^-x) = s / (s + e^-r) with x = n ln 2 + r and s = 2^n. The larger of s and 1 joins
// last, so that the sum is all but rounded once.
template <class V>
inline V vector_sigmoid(V x) {
  using C = MathConstants<typename V::Scalar>;
  const V one = V::broadcast(1);
  const V y = minimum(V::broadcast(-C::lost_low), maximum(V::broadcast(C::exp_low), x));
  const V n = rounded_product(y, C::log2e);
  const V t = reduced_expm1(V::zero() - reduced(y, n));
  const V s = scaled(one, n);
  return s / ((t + minimum(s, one)) + maximum(s, one));
}

// (1 - z) / (1 + z) with z = e^(-2|x|) = s (1 + t). 1 - s and 1 + s are exact where s counts, and
// for s = 1 the numerator is -t, which keeps its relative accuracy down to 0.
template <class V>
inline V vector_tanh(V x) {
  using C = MathConstants<typename V::Scalar>;
  const V y = negative_absolute(x), one = V::broadcast(1);
  const V twice = maximum(V::broadcast(C::lost_low), y + y);
  const V n = rounded_product(twice, C::log2e);
  const V t = reduced_expm1(reduced(twice, n)), s = power_of_two(n);
  const V numerator = negative_multiply_add(s, t, one - s);
  const V denominator = multiply_add(s, t, one + s);
  V quotient = numerator / denominator;
  if constexpr (C::tanh_refined) {
    // What all three lost in rounding: without the quotient's, neighbours could come out in
    // the wrong order. A line stands for 1 / denominator, which is in [0.5, 1].
    const V above = negative_multiply_add(s, t, (one - s) - numerator);
    const V below = multiply_add(s, t, (one + s) - denominator);
    const V left = remainder(numerator, quotient, denominator) + above;
    const V lost = negative_multiply_add(quotient, below, left);
    const V inverse = negative_multiply_add(denominator, V::broadcast(0.5), V::broadcast(1.457));
    quotient = multiply_add(lost, inverse, quotient);
  }
  return with_sign_of(quotient, x);
}

// z a + (1 - z) b for a finite b: a may be infinite (a - b would make NaN of it), and is
// what comes out where z is 1.
template <class V>
inline V mixed(V z, V a, V b) {
  return multiply_add(z, a, negative_multiply_add(z, b, b));
}

}  // namespace
}  // namespace pyrnn
