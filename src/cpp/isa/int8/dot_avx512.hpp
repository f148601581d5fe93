// Sums of products of whole numbers on AVX-512, with VNNI or without.
#pragma once

#include "isa/int8/sum.hpp"

namespace pyrnn {
namespace {

// With a mask, as gcc 12 warns of what its header does without one.
constexpr __mmask16 all_lanes = 0xffff;
inline VectorOfFloats floats_of(__m512i x) { return {_mm512_maskz_cvtepi32_ps(all_lanes, x)}; }

// As the compiler may not use the instruction elsewhere: not every processor has it.
inline void add_products_of_bytes(__m512i& sum, __m512i a, __m512i weights) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(weights));
}

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size depth = 2;
  static constexpr int sums = 12, most_rows = 3;
  using Element = __m512i;
  using Weights = __m512i;
  struct Sum {
    __m512i v = _mm512_setzero_si512();
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    return _mm512_set1_epi32(four_bytes(a + k));
  }
  static Weights load(const std::int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void add(Sum& sum, Element a, Weights weights) {
    sum.v = _mm512_add_epi32(sum.v, _mm512_madd_epi16(a, weights));
  }
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

// Products of bytes (AVX512-VNNI) take no widening, and twice as many weights each: a number of 16
// bits is two bytes, the upper one with 128 added, as one factor has no sign. What that adds to a
// sum are the offsets, which it begins with.
template <>
struct Dot<Storage::int8_fours> {
  static constexpr Size depth = 4;
  static constexpr int sums = 12, most_rows = 3;
  struct Element {
    __m512i lower, upper;
  };
  using Weights = __m512i;
  struct Sum {
    __m512i lower, upper;
  };
  static Sum begin(const std::int32_t* offsets) {
    return {_mm512_setzero_si512(), _mm512_loadu_si512(offsets)};
  }
  static Element element(const std::int16_t* a, Size padded, Size k) {
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(a);
    return {_mm512_set1_epi32(four_bytes(bytes + k)),
            _mm512_set1_epi32(four_bytes(bytes + padded + k))};
  }
  static Weights load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static void add(Sum& sum, const Element& a, Weights weights) {
    add_products_of_bytes(sum.lower, a.lower, weights);
    add_products_of_bytes(sum.upper, a.upper, weights);
  }
  static VectorOfFloats total(const Sum& sum) {
    return floats_of(_mm512_add_epi32(sum.lower, _mm512_maskz_slli_epi32(all_lanes, sum.upper, 8)));
  }
};

// x's sign goes to the weights, as one factor has none. Two products of at most 127 * 127 fit 16
// bits, where those of any bytes would saturate.
template <>
struct Dot<Storage::int8_bytes> {
  static constexpr Size depth = 4;
  static constexpr int sums = 12, most_rows = 3;
  struct Element {
    __m512i magnitude;
    __mmask64 negative;
  };
  using Weights = __m512i;
  struct Sum {
    __m512i v = _mm512_setzero_si512();
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    const auto* const bytes = reinterpret_cast<const std::int8_t*>(a);
    const __m512i numbers = _mm512_set1_epi32(four_bytes(bytes + k));
    return {_mm512_abs_epi8(numbers), _mm512_movepi8_mask(numbers)};
  }
  static Weights load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static void add(Sum& sum, const Element& a, Weights weights) {
    const __m512i with_sign =
        _mm512_mask_sub_epi8(weights, a.negative, _mm512_setzero_si512(), weights);
    const __m512i pairs = _mm512_maddubs_epi16(a.magnitude, with_sign);
    sum.v = _mm512_add_epi32(sum.v, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

template <>
struct Dot<Storage::int8_bytes_dot> {
  static constexpr Size depth = 4;
  static constexpr int sums = 24, most_rows = 6;
  using Element = __m512i;
  using Weights = __m512i;
  struct Sum {
    __m512i v;
  };
  static Sum begin(const std::int32_t* offsets) { return {_mm512_loadu_si512(offsets)}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    return _mm512_set1_epi32(four_bytes(reinterpret_cast<const std::uint8_t*>(a) + k));
  }
  static Weights load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static void add(Sum& sum, Element a, Weights weights) {
    add_products_of_bytes(sum.v, a, weights);
  }
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

constexpr bool has_fours = true, has_bytes_dot = true;
constexpr std::int32_t dot_offset = 128;

inline Storage int8_storage(bool bytes) {
  const bool vnni = __builtin_cpu_supports("avx512vnni");
  if (bytes) return vnni ? Storage::int8_bytes_dot : Storage::int8_bytes;
  return vnni ? Storage::int8_fours : Storage::int8_pairs;
}

}  // namespace
}  // namespace pyrnn
