// exp, sigmoid and tanh of a vector, for any vector type.
//
// All three reduce to expm1: y = n ln 2 + r with |r| <= ln 2 / 2, and t = e^r - 1 from a minimax
// polynomial (own Remez fit; relative error of e^r 3.1e-9 for float, 3.7e-18 for double).
// Largest errors found against 50-digit values (tests/test_math_functions.py), in units in the last
// place; they hold for every argument, subnormal results included, as long as the processor does
// not flush subnormals:
//                float   double
//     exp         1.0     1.0
//     sigmoid     2.0     2.0
//     tanh        2.0     2.0
// exp(±inf), sigmoid(±inf), tanh(±inf), NaN and ±0 give what the functions' limits say.
#pragma once

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
  static constexpr float exp_low = -104.5f;   // e^x rounds to 0 below
  static constexpr float exp_high = 89.0f;    // and overflows above
  static constexpr float tanh_low = -40.0f;   // e^y is lost beside 1 below
};

template <>
struct MathConstants<double> {
  static constexpr double log2e = 1.44269504088896340736;
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr int degree = 9;
  static constexpr double polynomial[degree + 1] = {
      0.50000000000000106688,    0.16666666666666411508,     0.041666666666529728134,
      0.008333333333494977261,   0.0013888888943759984011,   0.00019841269505773806997,
      2.4801492949617070769e-5,  2.7557586803847070697e-6,   2.7630306255647857359e-7,
      2.5000018853083341953e-8};
  static constexpr double exp_low = -746.0;
  static constexpr double exp_high = 710.0;
  static constexpr double tanh_low = -80.0;
};

template <class V>
struct ReducedExp {
  V n;  // whole
  V t;  // e^r - 1
};

template <class V>
inline ReducedExp<V> reduce_exp(V y) {
  using C = MathConstants<typename V::Scalar>;
  const V n = round_to_even(y * V::broadcast(C::log2e));
  V r = negative_multiply_add(n, V::broadcast(C::ln2_high), y);
  r = negative_multiply_add(n, V::broadcast(C::ln2_low), r);
  V p = V::broadcast(C::polynomial[C::degree]);
#pragma GCC unroll 16
  for (int i = C::degree - 1; i >= 0; --i) p = multiply_add(p, r, V::broadcast(C::polynomial[i]));
  return {n, multiply_add(r * r, p, r)};
}

// e^y for y clamped to [exp_low, exp_high]; two factors, as 2^n alone may be out of range.
template <class V>
inline V exp_clamped(V y) {
  const ReducedExp<V> e = reduce_exp(y);
  const V half = round_to_even(e.n * V::broadcast(typename V::Scalar(0.5)));
  const V one = V::broadcast(1);
  return ((one + e.t) * power_of_two(half)) * power_of_two(e.n - half);
}

template <class V>
inline V vector_exp(V x) {
  using C = MathConstants<typename V::Scalar>;
  return exp_clamped(minimum(V::broadcast(C::exp_high), maximum(V::broadcast(C::exp_low), x)));
}

// z / (1 + z) or 1 / (1 + z) with z = e^-|x|, so that nothing overflows or cancels
template <class V>
inline V vector_sigmoid(V x) {
  using C = MathConstants<typename V::Scalar>;
  const V one = V::broadcast(1);
  const V z = exp_clamped(maximum(V::broadcast(C::exp_low), negative_absolute(x)));
  return divide_by_one_to_two(select(x < V::zero(), z, one), one + z);
}

// -u / (2 + u) with u = e^(-2|x|) - 1, which keeps its relative accuracy down to 0
template <class V>
inline V vector_tanh(V x) {
  using C = MathConstants<typename V::Scalar>;
  const V y = negative_absolute(x);
  const ReducedExp<V> e = reduce_exp(maximum(V::broadcast(C::tanh_low), y + y));
  const V scale = power_of_two(e.n);
  const V u = multiply_add(scale, e.t, scale - V::broadcast(1));
  // 2 + u is in [1, 2]
  return with_sign_of(divide_by_one_to_two(V::zero() - u, V::broadcast(2) + u), x);
}

}  // namespace
}  // namespace pyrnn
