// What ends a call before it is done: a signal whose handler the calling thread runs, or an error
// in a part that another thread computes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <vector>

namespace pyrnn {

// How the calling thread asks Python whether to continue; `ask` throws to end the call.
struct Question {
  void (*ask)(void*) = nullptr;
  void* argument = nullptr;
};

// While it lives, `check_interrupts` on this thread asks the question, once an interval.
class InterruptScope {
 public:
  explicit InterruptScope(Question question) noexcept;
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  Question outer_;
};

// While it lives, this thread works for a call that ends once `cancelled` is true.
class CancelScope {
 public:
  explicit CancelScope(const std::atomic<bool>& cancelled) noexcept;
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

 private:
  const std::atomic<bool>* outer_;
};

// Ends a part whose call has failed elsewhere.
struct Cancelled {};

// Whether this thread asks a question.
bool has_question() noexcept;

// Throws if the call that this thread works for shall end.
void check_interrupts();

// Calls `check_interrupts` about every millisecond from a loop that ticks far more often, without
// reading the clock each time. Each thread needs its own.
class Pace {
 public:
  void tick() {
    if (--left_ == 0) look();
  }

 private:
  void look();

  int left_ = 1, every_ = 1;
  std::chrono::steady_clock::time_point last_{};
};

// One for each part of a job, apart from others in memory.
class Paces {
 public:
  explicit Paces(int parts) : all_(static_cast<std::size_t>(parts)) {}
  void tick(int part) { all_[static_cast<std::size_t>(part)].pace.tick(); }

 private:
  struct alignas(128) Own {
    Pace pace;
  };
  std::vector<Own> all_;
};

}  // namespace pyrnn
