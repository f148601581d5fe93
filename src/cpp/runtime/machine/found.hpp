// What is found out once about the machine, at the first use, without a lock.
#pragma once

#include <atomic>

namespace pyrnn {

// A pointer that every call of `find` gives alike. Threads that ask for it at once may each find
// it. A static variable of a function lets one thread find it and the others wait, and a fork
// meanwhile would leave the child waiting for a thread that it does not have.
template <class T>
class Found {
 public:
  template <class Find>
  T* get(Find find) {
    if (!known_.load(std::memory_order_acquire)) {
      value_.store(find(), std::memory_order_relaxed);
      known_.store(true, std::memory_order_release);
    }
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<T*> value_{nullptr};
  std::atomic<bool> known_{false};
};

}  // namespace pyrnn
