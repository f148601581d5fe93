// Sums of products of whole numbers on AVX2, with AVX-VNNI or without.
#pragma once

#include <cpuid.h>

#include "isa/int8/sum.hpp"

namespace pyrnn {
namespace {

inline VectorOfFloats floats_of(__m256i x) { return {_mm256_cvtepi32_ps(x)}; }
inline __m256i vector_at(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size depth = 2;
  static constexpr int sums = 12, most_rows = 3;
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
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

// x's sign goes to the weights, as one factor has none. Two products of at most 127 * 127 fit 16
// bits, where those of any bytes would saturate.
template <>
struct Dot<Storage::int8_bytes> {
  static constexpr Size depth = 4;
  static constexpr int sums = 8, most_rows = 2;
  struct Element {
    __m256i numbers, magnitude;
  };
  using Weights = __m256i;
  struct Sum {
    __m256i v = _mm256_setzero_si256();
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    const auto* const bytes = reinterpret_cast<const std::int8_t*>(a);
    const __m256i numbers = _mm256_set1_epi32(four_bytes(bytes + k));
    return {numbers, _mm256_abs_epi8(numbers)};
  }
  static Weights load(const std::int8_t* p) { return vector_at(p); }
  static void add(Sum& sum, const Element& a, Weights weights) {
    const __m256i pairs = _mm256_maddubs_epi16(a.magnitude, _mm256_sign_epi8(weights, a.numbers));
    sum.v = _mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

#if defined(PYRNN_WITH_AVX_VNNI)

// As the compiler may not use the instruction elsewhere: not every processor has it. By its name
// alone, an assembler may take the form of AVX-512, which such a processor need not have.
inline void add_products_of_bytes(__m256i& sum, __m256i a, __m256i weights) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(weights));
}

// A number of 16 bits is two bytes, the upper one with 128 added, as one factor has no sign. What
// that adds to a sum are the offsets, which it begins with.
template <>
struct Dot<Storage::int8_fours> {
  static constexpr Size depth = 4;
  static constexpr int sums = 6, most_rows = 3;
  struct Element {
    __m256i lower, upper;
  };
  using Weights = __m256i;
  struct Sum {
    __m256i lower, upper;
  };
  static Sum begin(const std::int32_t* offsets) {
    return {_mm256_setzero_si256(), vector_at(offsets)};
  }
  static Element element(const std::int16_t* a, Size padded, Size k) {
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(a);
    return {_mm256_set1_epi32(four_bytes(bytes + k)),
            _mm256_set1_epi32(four_bytes(bytes + padded + k))};
  }
  static Weights load(const std::int8_t* p) { return vector_at(p); }
  static void add(Sum& sum, const Element& a, Weights weights) {
    add_products_of_bytes(sum.lower, a.lower, weights);
    add_products_of_bytes(sum.upper, a.upper, weights);
  }
  static VectorOfFloats total(const Sum& sum) {
    return floats_of(_mm256_add_epi32(sum.lower, _mm256_slli_epi32(sum.upper, 8)));
  }
};

template <>
struct Dot<Storage::int8_bytes_dot> {
  static constexpr Size depth = 4;
  static constexpr int sums = 12, most_rows = 6;
  using Element = __m256i;
  using Weights = __m256i;
  struct Sum {
    __m256i v;
  };
  static Sum begin(const std::int32_t* offsets) { return {vector_at(offsets)}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    return _mm256_set1_epi32(four_bytes(reinterpret_cast<const std::uint8_t*>(a) + k));
  }
  static Weights load(const std::int8_t* p) { return vector_at(p); }
  static void add(Sum& sum, Element a, Weights weights) {
    add_products_of_bytes(sum.v, a, weights);
  }
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

constexpr bool has_fours = true, has_bytes_dot = true;

// Not by name: compilers know it by different ones, or not yet.
inline bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0;
}

#else

constexpr bool has_fours = false, has_bytes_dot = false;
inline bool has_avx_vnni() { return false; }

#endif

constexpr std::int32_t dot_offset = 128;

inline Storage int8_storage(bool bytes) {
  static int known = -1;  // found out once, and without the lock that a fork might leave taken
  int vnni = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (vnni < 0) __atomic_store_n(&known, vnni = has_avx_vnni(), __ATOMIC_RELAXED);
  if (bytes) return vnni > 0 ? Storage::int8_bytes_dot : Storage::int8_bytes;
  return vnni > 0 ? Storage::int8_fours : Storage::int8_pairs;
}

}  // namespace
}  // namespace pyrnn
