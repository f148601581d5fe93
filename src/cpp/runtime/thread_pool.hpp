// A pool of worker threads, the team that one call gets of it, and the barrier inside a team.
//
// Waiting is a short spin, then sleep: a thread whose peer has lost its core must not burn the one
// that it needs. One call at a time gets the workers; a call that finds them taken runs alone,
// which changes no result. After fork the child starts workers of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

namespace pyrnn {

// A count that threads wait on: spin first, then sleep until it moves.
class Signal {
 public:
  std::uint32_t value() const { return value_.load(std::memory_order_acquire); }
  void advance();
  // Returns once the value is no longer `seen`.
  void wait_past(std::uint32_t seen);

 private:
  std::atomic<std::uint32_t> value_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable moved_;
};

// All of a team's threads arrive before any goes on.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void wait();

 private:
  const int threads_;
  std::atomic<int> arrived_{0};
  Signal passed_;
};

int num_threads();
void set_num_threads(int threads);

// Workers for one call: up to `wanted` threads, the caller being one of them.
class Team {
 public:
  explicit Team(int wanted);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }
  // Calls work(thread) once for each thread in [0, threads) and returns when all have; at most
  // `size()` threads. Subnormals are flushed in all of them. What `work` throws does not pass.
  void run(int threads, const std::function<void(int)>& work);

 private:
  int size_ = 1;
  bool leased_ = false;
};

}  // namespace pyrnn
