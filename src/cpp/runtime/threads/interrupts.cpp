#include "runtime/threads/interrupts.hpp"

#include <algorithm>

#include "runtime/machine/flush_scope.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

using Clock = std::chrono::steady_clock;

thread_local Question question;
thread_local Clock::time_point asked;  // in this call or an earlier one
thread_local const std::atomic<bool>* cancels = nullptr;

}  // namespace

InterruptScope::InterruptScope(Question next) noexcept : outer_(question) { question = next; }

InterruptScope::~InterruptScope() { question = outer_; }

CancelScope::CancelScope(const std::atomic<bool>& cancelled) noexcept : outer_(cancels) {
  cancels = &cancelled;
}

CancelScope::~CancelScope() { cancels = outer_; }

bool has_question() noexcept { return question.ask != nullptr; }

namespace {

void ask_if_due(Clock::time_point now) {
  if (now - asked < tuning::question_interval) return;
  asked = now;
  const FullScope full;
  question.ask(question.argument);
}

void check_cancelled() {
  if (cancels != nullptr && cancels->load(std::memory_order_relaxed)) throw Cancelled{};
}

}  // namespace

void check_interrupts() {
  check_cancelled();
  if (question.ask != nullptr) ask_if_due(Clock::now());
}

// The first ticks read the clock each, until it is known how long they take.
void Pace::look() {
  const Clock::time_point now = Clock::now();
  const auto passed = now - last_;
  const bool first = last_ == Clock::time_point{};
  if (!first && passed < tuning::between_looks)
    every_ = std::min(4 * every_, tuning::most_steps_between_looks);
  if (!first && passed > 4 * tuning::between_looks) every_ = std::max(1, every_ / 4);
  last_ = now;
  left_ = every_;
  check_cancelled();
  if (question.ask != nullptr) ask_if_due(now);
}

}  // namespace pyrnn
