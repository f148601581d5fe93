// Vectors of float32 from numbers of 16 bits. The values are kept exactly, subnormal ones too.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa/simd/vector.hpp"

namespace pyrnn {
namespace {

template <class V>
V load_bfloat16(const std::uint16_t* p);
template <class V>
V load_float16(const std::uint16_t* p);

// Pairs of bfloat16: the first numbers of all, and the second ones.
template <class V>
struct Pairs {
  V first, second;
};
template <class V>
Pairs<V> load_pairs(const std::uint16_t* p);
// The same pair in all lanes.
template <class V>
Pairs<V> broadcast_pair(const std::uint16_t* p);

inline std::int32_t bits_of_pair(const std::uint16_t* p) {
  std::int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

#if defined(__AVX512F__) && defined(__AVX512DQ__)

alignas(64) constexpr std::uint16_t upper_halves[32] = {0, 0,  0, 1,  0, 2,  0, 3,  0, 4, 0,
                                                        5, 0,  6, 0,  7, 0,  8, 0,  9, 0, 10,
                                                        0, 11, 0, 12, 0, 13, 0, 14, 0, 15};

// One shuffle moves each number into the upper half of its lane.
template <>
inline VectorF load_bfloat16<VectorF>(const std::uint16_t* p) {
  const __m512i numbers =
      _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(
      _mm512_maskz_permutexvar_epi16(0xaaaaaaaa, _mm512_load_si512(upper_halves), numbers))};
}
template <>
inline VectorF load_float16<VectorF>(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}

inline Pairs<VectorF> pairs_of(__m512i x) {
  const __m512i upper = _mm512_set1_epi32(static_cast<std::int32_t>(0xffff0000));
  return {{_mm512_castsi512_ps(_mm512_slli_epi32(x, 16))},
          {_mm512_castsi512_ps(_mm512_and_si512(x, upper))}};
}
template <>
inline Pairs<VectorF> load_pairs<VectorF>(const std::uint16_t* p) {
  return pairs_of(_mm512_loadu_si512(p));
}
template <>
inline Pairs<VectorF> broadcast_pair<VectorF>(const std::uint16_t* p) {
  return pairs_of(_mm512_set1_epi32(bits_of_pair(p)));
}

#elif defined(__AVX2__) && defined(__FMA__)

template <>
inline VectorF load_bfloat16<VectorF>(const std::uint16_t* p) {
  const __m256i numbers =
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(numbers, 16))};
}
template <>
inline VectorF load_float16<VectorF>(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

inline Pairs<VectorF> pairs_of(__m256i x) {
  const __m256i upper = _mm256_set1_epi32(static_cast<std::int32_t>(0xffff0000));
  return {{_mm256_castsi256_ps(_mm256_slli_epi32(x, 16))},
          {_mm256_castsi256_ps(_mm256_and_si256(x, upper))}};
}
template <>
inline Pairs<VectorF> load_pairs<VectorF>(const std::uint16_t* p) {
  return pairs_of(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
template <>
inline Pairs<VectorF> broadcast_pair<VectorF>(const std::uint16_t* p) {
  return pairs_of(_mm256_set1_epi32(bits_of_pair(p)));
}

#else

template <>
inline Vector<float> load_bfloat16<Vector<float>>(const std::uint16_t* p) {
  return from_bits<float>(GenericTypes<float>::Integers{p[0], p[1], p[2], p[3]} << 16);
}

inline Pairs<Vector<float>> pairs_of(GenericTypes<float>::Integers x) {
  constexpr std::int32_t upper = static_cast<std::int32_t>(0xffff0000);
  return {from_bits<float>(x << 16),
          from_bits<float>(x & GenericTypes<float>::Integers{upper, upper, upper, upper})};
}
template <>
inline Pairs<Vector<float>> load_pairs<Vector<float>>(const std::uint16_t* p) {
  GenericTypes<float>::Integers x;
  std::memcpy(&x, p, sizeof(x));
  return pairs_of(x);
}
template <>
inline Pairs<Vector<float>> broadcast_pair<Vector<float>>(const std::uint16_t* p) {
  const std::int32_t bits = bits_of_pair(p);
  return pairs_of(GenericTypes<float>::Integers{bits, bits, bits, bits});
}
#if defined(__aarch64__)
template <>
inline Vector<float> load_float16<Vector<float>>(const std::uint16_t* p) {
  return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))};
}
#else
// No number is subnormal on the way, as those count as zero in calculations.
template <>
inline Vector<float> load_float16<Vector<float>>(const std::uint16_t* p) {
  using Integers = GenericTypes<float>::Integers;
  const Integers bits{p[0], p[1], p[2], p[3]};
  const Integers magnitude = bits & 0x7fff, sign = (bits & 0x8000) << 16;
  const Integers normal = (magnitude << 13) + ((127 - 15) << 23);
  const Integers special = (magnitude << 13) | 0x7f800000;
  Vector<float> small;
  for (int lane = 0; lane < Vector<float>::lanes; ++lane)
    small.v[lane] = static_cast<float>(magnitude[lane]) * 0x1p-24f;
  const Integers is_small = magnitude < 0x0400, is_special = magnitude >= 0x7c00;
  const Integers value =
      (as_bits(small) & is_small) | (special & is_special) | (normal & ~(is_small | is_special));
  return from_bits<float>(value | sign);
}
#endif

#endif

}  // namespace
}  // namespace pyrnn
