// Processes that fork. A child has the forking thread alone: a lock that another thread held at
// that moment would stay locked in it for good.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

namespace pyrnn {

// Counts the forks that led to this process.
unsigned fork_generation() noexcept;

// A lock that a forked child finds free, whoever held it in the parent: the child makes its own.
// What it guards must be whole whenever a thread may be interrupted amid it.
class ForkSafeMutex {
 public:
  ForkSafeMutex() : made_(new Made) {}
  ~ForkSafeMutex() { delete made_.load(); }
  ForkSafeMutex(const ForkSafeMutex&) = delete;
  ForkSafeMutex& operator=(const ForkSafeMutex&) = delete;

  std::unique_lock<std::mutex> hold() {
    Made* made = made_.load();
    if (made->generation != fork_generation()) {
      auto fresh = std::make_unique<Made>();
      // The parent's is left as it is: a mutex that is locked cannot be destroyed.
      if (made_.compare_exchange_strong(made, fresh.get())) made = fresh.release();
    }
    return std::unique_lock<std::mutex>(made->mutex);
  }

 private:
  struct Made {
    unsigned generation = fork_generation();
    std::mutex mutex;
  };

  std::atomic<Made*> made_;
};

}  // namespace pyrnn
