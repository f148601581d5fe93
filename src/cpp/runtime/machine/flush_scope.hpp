// Subnormal numbers count as zero while a scope lives, so that they never slow a call down; the
// caller's mode is restored.
#pragma once

#include <cstdint>
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace pyrnn {

template <bool FLUSHES>
class SubnormalScope {
 public:
#if defined(__x86_64__) || defined(_M_X64)
  SubnormalScope() : mode_(_mm_getcsr()) {
    _mm_setcsr(FLUSHES ? mode_ | 0x8040u : mode_ & ~0x8040u);
  }
  ~SubnormalScope() { _mm_setcsr(mode_); }
#elif defined(__aarch64__)
  SubnormalScope() {
    constexpr std::uint64_t flushes = std::uint64_t{1} << 24;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode_));
    __asm__ __volatile__("msr fpcr, %0" ::"r"(FLUSHES ? mode_ | flushes : mode_ & ~flushes));
  }
  ~SubnormalScope() { __asm__ __volatile__("msr fpcr, %0" ::"r"(mode_)); }
#else
  SubnormalScope() = default;
#endif
  SubnormalScope(const SubnormalScope&) = delete;
  SubnormalScope& operator=(const SubnormalScope&) = delete;

 private:
#if defined(__aarch64__)
  std::uint64_t mode_ = 0;
#elif defined(__x86_64__) || defined(_M_X64)
  unsigned mode_ = 0;
#endif
};

using FlushScope = SubnormalScope<true>;
// Within a FlushScope, for code that is not the core's: they count again.
using FullScope = SubnormalScope<false>;

}  // namespace pyrnn
