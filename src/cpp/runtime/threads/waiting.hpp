// Where threads wait for each other: spin first, then sleep until woken.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "tuning.hpp"
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace pyrnn {

inline void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

class Waiting {
 public:
  explicit Waiting(std::chrono::microseconds spin_time) : spin_time_(spin_time) {}

  // Returns whether ready() has become true soon.
  template <class Ready>
  bool spin_for(const Ready& ready) {
    for (int i = 0; i < tuning::looks_before_clock; ++i) {
      if (ready()) return true;
      pause();
    }
    const auto start = std::chrono::steady_clock::now();
    do {
      for (int i = 0; i < tuning::looks_between_clocks; ++i) {
        if (ready()) return true;
        pause();
      }
    } while (std::chrono::steady_clock::now() - start < spin_time_);
    return false;
  }

  // Returns once ready() is true.
  template <class Ready>
  void sleep_for(const Ready& ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleepers_;
    woken_.wait(lock, ready);
    --sleepers_;
  }

  // Returns whether ready() is true, after some time at most.
  template <class Ready>
  bool sleep_for(const Ready& ready, std::chrono::milliseconds most) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleepers_;
    const bool is_ready = woken_.wait_for(lock, most, ready);
    --sleepers_;
    return is_ready;
  }

  bool has_sleepers() const { return sleepers_ > 0; }

  // To be called after what makes `ready` true.
  void wake() {
    if (sleepers_ == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    woken_.notify_all();
  }

 private:
  const std::chrono::microseconds spin_time_;
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable woken_;
};

}  // namespace pyrnn
