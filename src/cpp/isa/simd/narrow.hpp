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

#else

template <>
inline Vector<float> load_bfloat16<Vector<float>>(const std::uint16_t* p) {
  return from_bits<float>(GenericTypes<float>::Integers{p[0], p[1], p[2], p[3]} << 16);
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
