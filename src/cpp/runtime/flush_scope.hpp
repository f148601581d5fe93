// Subnormal numbers count as zero while a scope lives, so that they never slow a call down; the
// caller's mode is restored.
#pragma once

#include <cstdint>
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace pyrnn {

class FlushScope {
 public:
#if defined(__x86_64__) || defined(_M_X64)
  FlushScope() : mode_(_mm_getcsr()) { _mm_setcsr(mode_ | 0x8040u); }
  ~FlushScope() { _mm_setcsr(mode_); }
#elif defined(__aarch64__)
  FlushScope() {
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode_));
    __asm__ __volatile__("msr fpcr, %0" ::"r"(mode_ | (std::uint64_t{1} << 24)));
  }
  ~FlushScope() { __asm__ __volatile__("msr fpcr, %0" ::"r"(mode_)); }
#endif
  FlushScope(const FlushScope&) = delete;
  FlushScope& operator=(const FlushScope&) = delete;

 private:
#if defined(__aarch64__)
  std::uint64_t mode_ = 0;
#else
  unsigned mode_ = 0;
#endif
};

}  // namespace pyrnn
