// The vector type on AVX-512 (F and DQ): 16 floats or 8 doubles.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace pyrnn {
namespace {

template <class T>
struct Vector;

template <>
struct Vector<float> {
  using Scalar = float;
  using Mask = __mmask16;
  static constexpr int lanes = 16;
  static constexpr int accumulators = 24;
  __m512 v;

  static Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vector load_partial(const float* p, std::ptrdiff_t n) {
    return {_mm512_maskz_loadu_ps(partial(n), p)};
  }
  // Blocks of 16 bytes, which begin `apart` numbers after each other.
  static Vector load_blocks(const float* p, std::ptrdiff_t apart) {
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(p));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(p + apart), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(p + 2 * apart), 2);
    return {_mm512_insertf32x4(x, _mm_loadu_ps(p + 3 * apart), 3)};
  }
  static Vector broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Vector zero() { return {_mm512_setzero_ps()}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store_partial(float* p, std::ptrdiff_t n) const { _mm512_mask_storeu_ps(p, partial(n), v); }

  friend Vector operator+(Vector a, Vector b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Vector operator-(Vector a, Vector b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Vector operator*(Vector a, Vector b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Vector operator/(Vector a, Vector b) { return {_mm512_div_ps(a.v, b.v)}; }
  friend Mask operator<(Vector a, Vector b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }

 private:
  static Mask partial(std::ptrdiff_t n) { return static_cast<Mask>((1u << n) - 1); }
};

template <>
struct Vector<double> {
  using Scalar = double;
  using Mask = __mmask8;
  static constexpr int lanes = 8;
  static constexpr int accumulators = 24;
  __m512d v;

  static Vector load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static Vector load_partial(const double* p, std::ptrdiff_t n) {
    return {_mm512_maskz_loadu_pd(partial(n), p)};
  }
  static Vector load_blocks(const double* p, std::ptrdiff_t apart) {
    __m512d x = _mm512_castpd128_pd512(_mm_loadu_pd(p));
    x = _mm512_insertf64x2(x, _mm_loadu_pd(p + apart), 1);
    x = _mm512_insertf64x2(x, _mm_loadu_pd(p + 2 * apart), 2);
    return {_mm512_insertf64x2(x, _mm_loadu_pd(p + 3 * apart), 3)};
  }
  static Vector broadcast(double x) { return {_mm512_set1_pd(x)}; }
  static Vector zero() { return {_mm512_setzero_pd()}; }
  void store(double* p) const { _mm512_storeu_pd(p, v); }
  void store_partial(double* p, std::ptrdiff_t n) const { _mm512_mask_storeu_pd(p, partial(n), v); }

  friend Vector operator+(Vector a, Vector b) { return {_mm512_add_pd(a.v, b.v)}; }
  friend Vector operator-(Vector a, Vector b) { return {_mm512_sub_pd(a.v, b.v)}; }
  friend Vector operator*(Vector a, Vector b) { return {_mm512_mul_pd(a.v, b.v)}; }
  friend Vector operator/(Vector a, Vector b) { return {_mm512_div_pd(a.v, b.v)}; }
  friend Mask operator<(Vector a, Vector b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }

 private:
  static Mask partial(std::ptrdiff_t n) { return static_cast<Mask>((1u << n) - 1); }
};

using VectorF = Vector<float>;
using VectorD = Vector<double>;

// a * b + c, rounded once
inline VectorF multiply_add(VectorF a, VectorF b, VectorF c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline VectorD multiply_add(VectorD a, VectorD b, VectorD c) {
  return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
// c - a * b, rounded once
inline VectorF negative_multiply_add(VectorF a, VectorF b, VectorF c) {
  return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}
inline VectorD negative_multiply_add(VectorD a, VectorD b, VectorD c) {
  return {_mm512_fnmadd_pd(a.v, b.v, c.v)};
}
// The larger; the second where either is NaN
inline VectorF maximum(VectorF a, VectorF b) { return {_mm512_max_ps(a.v, b.v)}; }
inline VectorD maximum(VectorD a, VectorD b) { return {_mm512_max_pd(a.v, b.v)}; }
inline VectorF minimum(VectorF a, VectorF b) { return {_mm512_min_ps(a.v, b.v)}; }
inline VectorD minimum(VectorD a, VectorD b) { return {_mm512_min_pd(a.v, b.v)}; }
inline VectorF select(__mmask16 mask, VectorF yes, VectorF no) {
  return {_mm512_mask_blend_ps(mask, no.v, yes.v)};
}
inline VectorD select(__mmask8 mask, VectorD yes, VectorD no) {
  return {_mm512_mask_blend_pd(mask, no.v, yes.v)};
}
inline VectorF negative_absolute(VectorF a) { return {_mm512_or_ps(a.v, _mm512_set1_ps(-0.0f))}; }
inline VectorD negative_absolute(VectorD a) { return {_mm512_or_pd(a.v, _mm512_set1_pd(-0.0))}; }

// What a root is refined from: its inverse to 14 bits
inline VectorF inverse_root_estimate(VectorF a) { return {_mm512_rsqrt14_ps(a.v)}; }
inline VectorD inverse_root_estimate(VectorD a) { return {_mm512_rsqrt14_pd(a.v)}; }
inline VectorF divider_root(VectorF a) { return {_mm512_sqrt_ps(a.v)}; }
inline VectorD divider_root(VectorD a) { return {_mm512_sqrt_pd(a.v)}; }
// Whether roots can be refined: remainders are normal, and nothing is negative, infinite or NaN.
inline bool has_normal_remainders(VectorF a) {
  const __mmask16 small = _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(0x1p-100f), _CMP_NGE_UQ);
  return _kortestz_mask16_u8(small, _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(INFINITY), _CMP_EQ_OQ));
}
inline bool has_normal_remainders(VectorD a) {
  const __mmask8 small = _mm512_cmp_pd_mask(a.v, _mm512_set1_pd(0x1p-960), _CMP_NGE_UQ);
  return _kortestz_mask8_u8(small, _mm512_cmp_pd_mask(a.v, _mm512_set1_pd(INFINITY), _CMP_EQ_OQ));
}
// Correctly rounded, mostly without the divider, which is busy with the quotient below which a root
// stands. A refinement doubles the correct bits of the root and of half its inverse, the last step
// takes the remainder (P. Markstein, "Computation of elementary functions on the IBM RISC
// System/6000 processor", 1990).
template <class V>
inline V square_root(V a) {
  if (!has_normal_remainders(a)) return divider_root(a);
  constexpr int refinements = sizeof(typename V::Scalar) == 4 ? 1 : 2;
  const V one_half = V::broadcast(0.5f), inverse = inverse_root_estimate(a);
  V root = a * inverse, half = inverse * one_half;
  for (int i = 0; i < refinements; ++i) {
    const V error = negative_multiply_add(root, half, one_half);
    root = multiply_add(root, error, root);
    half = multiply_add(half, error, half);
  }
  return multiply_add(negative_multiply_add(root, root, a), half, root);
}

// A non-negative magnitude with the sign of another
inline VectorF with_sign_of(VectorF magnitude, VectorF sign) {
  return {_mm512_or_ps(magnitude.v, _mm512_and_ps(sign.v, _mm512_set1_ps(-0.0f)))};
}
inline VectorD with_sign_of(VectorD magnitude, VectorD sign) {
  return {_mm512_or_pd(magnitude.v, _mm512_and_pd(sign.v, _mm512_set1_pd(-0.0)))};
}
// a * 2^n for whole n
inline VectorF scaled(VectorF a, VectorF n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline VectorD scaled(VectorD a, VectorD n) { return {_mm512_scalef_pd(a.v, n.v)}; }
inline VectorF power_of_two(VectorF n) { return scaled(VectorF::broadcast(1), n); }
inline VectorD power_of_two(VectorD n) { return scaled(VectorD::broadcast(1), n); }

// Rows of numbers become columns, within each block of 16 bytes on its own.
inline void transpose_blocks(VectorF (&rows)[4]) {
  const __m512 low01 = _mm512_unpacklo_ps(rows[0].v, rows[1].v);
  const __m512 low23 = _mm512_unpacklo_ps(rows[2].v, rows[3].v);
  const __m512 high01 = _mm512_unpackhi_ps(rows[0].v, rows[1].v);
  const __m512 high23 = _mm512_unpackhi_ps(rows[2].v, rows[3].v);
  rows[0].v = _mm512_shuffle_ps(low01, low23, _MM_SHUFFLE(1, 0, 1, 0));
  rows[1].v = _mm512_shuffle_ps(low01, low23, _MM_SHUFFLE(3, 2, 3, 2));
  rows[2].v = _mm512_shuffle_ps(high01, high23, _MM_SHUFFLE(1, 0, 1, 0));
  rows[3].v = _mm512_shuffle_ps(high01, high23, _MM_SHUFFLE(3, 2, 3, 2));
}
inline void transpose_blocks(VectorD (&rows)[2]) {
  const __m512d first = rows[0].v, second = rows[1].v;
  rows[0].v = _mm512_unpacklo_pd(first, second);
  rows[1].v = _mm512_unpackhi_pd(first, second);
}

}  // namespace
}  // namespace pyrnn
