// Sums of products of whole numbers: of 16 bits (x, h) and of 8 (weights), in 32 bits.
//
// A Dot says how an instruction set does that for one vector of units, `group` numbers of k at a
// time. All are exact, so they agree whatever the instructions.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

using VectorOfFloats = Vector<float>;

inline std::int32_t four_bytes(const void* p) {
  std::int32_t bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return bytes;
}

template <Storage S>
struct Dot;

#if defined(__AVX512F__) && defined(__AVX512BW__)

// With a mask, as gcc 12 warns of what its header does without one.
constexpr __mmask16 all_lanes = 0xffff;
inline VectorOfFloats floats_of(__m512i x) { return {_mm512_maskz_cvtepi32_ps(all_lanes, x)}; }

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size group = 2;
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
  static constexpr Size group = 4;
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
    add_products(sum.lower, a.lower, weights);
    add_products(sum.upper, a.upper, weights);
  }
  static VectorOfFloats total(const Sum& sum) {
    return floats_of(_mm512_add_epi32(sum.lower, _mm512_maskz_slli_epi32(all_lanes, sum.upper, 8)));
  }

 private:
  // As the compiler may not use the instruction elsewhere: not every processor has it.
  static void add_products(__m512i& sum, __m512i a, __m512i weights) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(weights));
  }
};

inline Storage int8_storage() {
  return __builtin_cpu_supports("avx512vnni") ? Storage::int8_fours : Storage::int8_pairs;
}
constexpr bool has_fours = true;

#else

constexpr bool has_fours = false;
inline Storage int8_storage() { return Storage::int8_pairs; }

#if defined(__AVX2__)

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size group = 2;
  using Element = __m256i;
  using Weights = __m256i;
  struct Sum {
    __m256i v = _mm256_setzero_si256();
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    return _mm256_set1_epi32(four_bytes(a + k));
  }
  static Weights load(const std::int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void add(Sum& sum, Element a, Weights weights) {
    sum.v = _mm256_add_epi32(sum.v, _mm256_madd_epi16(a, weights));
  }
  static VectorOfFloats total(const Sum& sum) { return {_mm256_cvtepi32_ps(sum.v)}; }
};

#elif defined(__aarch64__)

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size group = 2;
  using Element = int16x8_t;
  using Weights = int16x8_t;
  struct Sum {
    int32x4_t v = vdupq_n_s32(0);
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    return vreinterpretq_s16_s32(vdupq_n_s32(four_bytes(a + k)));
  }
  static Weights load(const std::int8_t* p) { return vmovl_s8(vld1_s8(p)); }
  static void add(Sum& sum, Element a, Weights weights) {
    const int32x4_t first = vmull_s16(vget_low_s16(a), vget_low_s16(weights));
    const int32x4_t second = vmull_high_s16(a, weights);
    sum.v = vaddq_s32(sum.v, vpaddq_s32(first, second));
  }
  static VectorOfFloats total(const Sum& sum) { return {vcvtq_f32_s32(sum.v)}; }
};

#else

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size group = 2;
  using Integers = GenericTypes<float>::Integers;
  struct Element {
    std::int32_t first, second;
  };
  struct Weights {
    Integers first, second;
  };
  struct Sum {
    Integers v{};
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) { return {a[k], a[k + 1]}; }
  static Weights load(const std::int8_t* p) {
    Weights weights;
    weights.first = Integers{p[0], p[2], p[4], p[6]};
    weights.second = Integers{p[1], p[3], p[5], p[7]};
    return weights;
  }
  static void add(Sum& sum, const Element& a, const Weights& weights) {
    sum.v += a.first * weights.first + a.second * weights.second;
  }
  static VectorOfFloats total(const Sum& sum) {
    return {__builtin_convertvector(sum.v, VectorOfFloats::Native)};
  }
};

#endif
#endif

}  // namespace
}  // namespace pyrnn
