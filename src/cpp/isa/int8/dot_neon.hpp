// Sums of products of whole numbers on NEON, with the dot products of Armv8.2 or without.
#pragma once

#if defined(__linux__)
#include <sys/auxv.h>
#endif

#include "isa/int8/sum.hpp"

namespace pyrnn {
namespace {

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size depth = 2;
  static constexpr int sums = 12, most_rows = 3;
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

// Two products of at most 127 * 127 fit 16 bits.
template <>
struct Dot<Storage::int8_bytes> {
  static constexpr Size depth = 4;
  static constexpr int sums = 12, most_rows = 3;
  using Element = int8x16_t;
  using Weights = int8x16_t;
  struct Sum {
    int32x4_t v = vdupq_n_s32(0);
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    return vreinterpretq_s8_s32(
        vdupq_n_s32(four_bytes(reinterpret_cast<const std::int8_t*>(a) + k)));
  }
  static Weights load(const std::int8_t* p) { return vld1q_s8(p); }
  static void add(Sum& sum, Element a, Weights weights) {
    const int16x8_t first = vmull_s8(vget_low_s8(a), vget_low_s8(weights));
    const int16x8_t second = vmull_high_s8(a, weights);
    sum.v = vpadalq_s16(sum.v, vpaddq_s16(first, second));
  }
  static VectorOfFloats total(const Sum& sum) { return {vcvtq_f32_s32(sum.v)}; }
};

#if defined(PYRNN_WITH_ARM_DOT)

template <>
struct Dot<Storage::int8_bytes_dot> {
  static constexpr Size depth = 4;
  static constexpr int sums = 24, most_rows = 6;
  using Element = int8x16_t;
  using Weights = int8x16_t;
  struct Sum {
    int32x4_t v = vdupq_n_s32(0);
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size padded, Size k) {
    return Dot<Storage::int8_bytes>::element(a, padded, k);
  }
  static Weights load(const std::int8_t* p) { return vld1q_s8(p); }
  // As the compiler may not use the instruction elsewhere: not every processor has it.
  static void add(Sum& sum, Element a, Weights weights) {
    __asm__(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.16b"
            : "+w"(sum.v)
            : "w"(a), "w"(weights));
  }
  static VectorOfFloats total(const Sum& sum) { return {vcvtq_f32_s32(sum.v)}; }
};

constexpr bool has_bytes_dot = true;

inline bool has_arm_dot() {
#if defined(__ARM_FEATURE_DOTPROD)
  return true;
#elif defined(__linux__)
  constexpr unsigned long dot_products = 1ul << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & dot_products) != 0;
#else
  return false;
#endif
}

#else

constexpr bool has_bytes_dot = false;
inline bool has_arm_dot() { return false; }

#endif

constexpr bool has_fours = false;
constexpr std::int32_t dot_offset = 0;

inline Storage int8_storage(bool bytes) {
  if (!bytes) return Storage::int8_pairs;
  return has_arm_dot() ? Storage::int8_bytes_dot : Storage::int8_bytes;
}

}  // namespace
}  // namespace pyrnn
