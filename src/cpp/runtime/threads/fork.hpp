// Processes that fork. A child has only the forking thread: a lock that another thread held at that
// moment would stay locked in the child forever.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace pyrnn {

// Counts the forks that led to this process.
unsigned fork_generation() noexcept;

// A lock that a forked child finds free, whoever held it in the parent: the child makes its own.
// What it guards must be consistent at every moment at which a signal may interrupt the thread.
class ForkSafeMutex {
 public:
  ForkSafeMutex() : made_(new Made) {}
  ~ForkSafeMutex() { delete made_.load(); }
  ForkSafeMutex(const ForkSafeMutex&) = delete;
  ForkSafeMutex& operator=(const ForkSafeMutex&) = delete;

  // Held while what it returns lives. A thread that holds it already gets an error: it is in a
  // signal handler that interrupted the work under the lock.
  class Hold;
  Hold hold();

 private:
  struct Made {
    unsigned generation = fork_generation();
    std::atomic<std::thread::id> holder{};
    std::mutex mutex;
  };

  Made& made() {
    Made* made = made_.load();
    if (made->generation != fork_generation()) {
      auto fresh = std::make_unique<Made>();
      // The parent's is left as it is: a mutex that is locked cannot be destroyed.
      if (made_.compare_exchange_strong(made, fresh.get())) made = fresh.release();
    }
    return *made;
  }

  std::atomic<Made*> made_;
};

class ForkSafeMutex::Hold {
 public:
  explicit Hold(Made& made) : made_(made) {
    if (made_.holder == std::this_thread::get_id())
      throw std::runtime_error("a signal handler asked for what this thread is in the middle of");
    made_.mutex.lock();
    made_.holder = std::this_thread::get_id();
  }
  ~Hold() {
    made_.holder = std::thread::id{};
    made_.mutex.unlock();
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  Made& made_;
};

inline ForkSafeMutex::Hold ForkSafeMutex::hold() { return Hold(made()); }

}  // namespace pyrnn
