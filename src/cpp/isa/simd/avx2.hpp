// The vector type on AVX2 with FMA: 8 floats or 4 doubles.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "isa/simd/powers.hpp"

namespace pyrnn {
namespace {

alignas(32) constexpr std::int32_t partial_mask32[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                         0,  0,  0,  0,  0,  0,  0,  0};
alignas(32) constexpr std::int64_t partial_mask64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

template <class T>
struct Vector;

template <>
struct Vector<float> {
  using Scalar = float;
  using Mask = __m256;
  static constexpr int lanes = 8;
  static constexpr int accumulators = 12;
  __m256 v;

  static Vector load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vector load_partial(const float* p, std::ptrdiff_t n) {
    return {_mm256_maskload_ps(p, partial(n))};
  }
  // Blocks of 16 bytes, which begin `apart` numbers after each other.
  static Vector load_blocks(const float* p, std::ptrdiff_t apart) {
    return {
        _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + apart), 1)};
  }
  static Vector broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static Vector zero() { return {_mm256_setzero_ps()}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store_partial(float* p, std::ptrdiff_t n) const { _mm256_maskstore_ps(p, partial(n), v); }

  friend Vector operator+(Vector a, Vector b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Vector operator-(Vector a, Vector b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Vector operator*(Vector a, Vector b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Vector operator/(Vector a, Vector b) { return {_mm256_div_ps(a.v, b.v)}; }
  friend Mask operator<(Vector a, Vector b) { return _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ); }

 private:
  static __m256i partial(std::ptrdiff_t n) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(partial_mask32 + 8 - n));
  }
};

template <>
struct Vector<double> {
  using Scalar = double;
  using Mask = __m256d;
  static constexpr int lanes = 4;
  static constexpr int accumulators = 12;
  __m256d v;

  static Vector load(const double* p) { return {_mm256_loadu_pd(p)}; }
  static Vector load_partial(const double* p, std::ptrdiff_t n) {
    return {_mm256_maskload_pd(p, partial(n))};
  }
  static Vector load_blocks(const double* p, std::ptrdiff_t apart) {
    return {
        _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(p + apart), 1)};
  }
  static Vector broadcast(double x) { return {_mm256_set1_pd(x)}; }
  static Vector zero() { return {_mm256_setzero_pd()}; }
  void store(double* p) const { _mm256_storeu_pd(p, v); }
  void store_partial(double* p, std::ptrdiff_t n) const { _mm256_maskstore_pd(p, partial(n), v); }

  friend Vector operator+(Vector a, Vector b) { return {_mm256_add_pd(a.v, b.v)}; }
  friend Vector operator-(Vector a, Vector b) { return {_mm256_sub_pd(a.v, b.v)}; }
  friend Vector operator*(Vector a, Vector b) { return {_mm256_mul_pd(a.v, b.v)}; }
  friend Vector operator/(Vector a, Vector b) { return {_mm256_div_pd(a.v, b.v)}; }
  friend Mask operator<(Vector a, Vector b) { return _mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ); }

 private:
  static __m256i partial(std::ptrdiff_t n) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(partial_mask64 + 4 - n));
  }
};

using VectorF = Vector<float>;
using VectorD = Vector<double>;

// a * b + c, rounded once
inline VectorF multiply_add(VectorF a, VectorF b, VectorF c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline VectorD multiply_add(VectorD a, VectorD b, VectorD c) {
  return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
// The same where c is a sum, with b from a register or from memory. Left to itself, gcc 12 moves
// sums between registers, or to the stack where a tile takes them all.
inline VectorF accumulated(VectorF a, VectorF b, VectorF sum) {
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
  return sum;
}
inline VectorF accumulated(VectorF a, const float* b, VectorF sum) {
  __asm__("vfmadd231ps %2, %1, %0"
          : "+x"(sum.v)
          : "x"(a.v), "m"(*reinterpret_cast<const __m256_u*>(b)));
  return sum;
}
inline VectorD accumulated(VectorD a, VectorD b, VectorD sum) {
  __asm__("vfmadd231pd %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
  return sum;
}
inline VectorD accumulated(VectorD a, const double* b, VectorD sum) {
  __asm__("vfmadd231pd %2, %1, %0"
          : "+x"(sum.v)
          : "x"(a.v), "m"(*reinterpret_cast<const __m256d_u*>(b)));
  return sum;
}
// c - a * b, rounded once
inline VectorF negative_multiply_add(VectorF a, VectorF b, VectorF c) {
  return {_mm256_fnmadd_ps(a.v, b.v, c.v)};
}
inline VectorD negative_multiply_add(VectorD a, VectorD b, VectorD c) {
  return {_mm256_fnmadd_pd(a.v, b.v, c.v)};
}
// The larger; the second where either is NaN
inline VectorF maximum(VectorF a, VectorF b) { return {_mm256_max_ps(a.v, b.v)}; }
inline VectorD maximum(VectorD a, VectorD b) { return {_mm256_max_pd(a.v, b.v)}; }
inline VectorF minimum(VectorF a, VectorF b) { return {_mm256_min_ps(a.v, b.v)}; }
inline VectorD minimum(VectorD a, VectorD b) { return {_mm256_min_pd(a.v, b.v)}; }
inline VectorF square_root(VectorF a) { return {_mm256_sqrt_ps(a.v)}; }
inline VectorD square_root(VectorD a) { return {_mm256_sqrt_pd(a.v)}; }
inline VectorF select(__m256 mask, VectorF yes, VectorF no) {
  return {_mm256_blendv_ps(no.v, yes.v, mask)};
}
inline VectorD select(__m256d mask, VectorD yes, VectorD no) {
  return {_mm256_blendv_pd(no.v, yes.v, mask)};
}
inline VectorF negative_absolute(VectorF a) { return {_mm256_or_ps(a.v, _mm256_set1_ps(-0.0f))}; }
inline VectorD negative_absolute(VectorD a) { return {_mm256_or_pd(a.v, _mm256_set1_pd(-0.0))}; }
// A non-negative magnitude with the sign of another
inline VectorF with_sign_of(VectorF magnitude, VectorF sign) {
  return {_mm256_or_ps(magnitude.v, _mm256_and_ps(sign.v, _mm256_set1_ps(-0.0f)))};
}
inline VectorD with_sign_of(VectorD magnitude, VectorD sign) {
  return {_mm256_or_pd(magnitude.v, _mm256_and_pd(sign.v, _mm256_set1_pd(-0.0)))};
}
// 2^n for whole n within the normal range: n + 127 or n + 1023 becomes the exponent.
inline VectorF power_of_two(VectorF n) {
  const __m256 shifted = _mm256_add_ps(n.v, _mm256_set1_ps(no_fraction<float> + 127.0f));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23))};
}
inline VectorD power_of_two(VectorD n) {
  const __m256d shifted = _mm256_add_pd(n.v, _mm256_set1_pd(no_fraction<double> + 1023.0));
  return {_mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(shifted), 52))};
}

// Rows of numbers become columns, within each block of 16 bytes on its own.
inline void transpose_blocks(VectorF (&rows)[4]) {
  const __m256 low01 = _mm256_unpacklo_ps(rows[0].v, rows[1].v);
  const __m256 low23 = _mm256_unpacklo_ps(rows[2].v, rows[3].v);
  const __m256 high01 = _mm256_unpackhi_ps(rows[0].v, rows[1].v);
  const __m256 high23 = _mm256_unpackhi_ps(rows[2].v, rows[3].v);
  rows[0].v = _mm256_shuffle_ps(low01, low23, _MM_SHUFFLE(1, 0, 1, 0));
  rows[1].v = _mm256_shuffle_ps(low01, low23, _MM_SHUFFLE(3, 2, 3, 2));
  rows[2].v = _mm256_shuffle_ps(high01, high23, _MM_SHUFFLE(1, 0, 1, 0));
  rows[3].v = _mm256_shuffle_ps(high01, high23, _MM_SHUFFLE(3, 2, 3, 2));
}
inline void transpose_blocks(VectorD (&rows)[2]) {
  const __m256d first = rows[0].v, second = rows[1].v;
  rows[0].v = _mm256_unpacklo_pd(first, second);
  rows[1].v = _mm256_unpackhi_pd(first, second);
}

}  // namespace
}  // namespace pyrnn
