#include "runtime/cores/placement.hpp"

#include "tuning.hpp"

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#endif

namespace pyrnn {

int ProcessorSet::count() const noexcept {
  int all = 0;
  for (const unsigned long word : words_) all += __builtin_popcountl(word);
  return all;
}

bool ProcessorSet::has(int processor) const noexcept {
  const auto index = static_cast<std::size_t>(processor);
  return index < most && (words_[index / word_bits] >> index % word_bits & 1UL) != 0;
}

void ProcessorSet::add(int processor) noexcept {
  const auto index = static_cast<std::size_t>(processor);
  if (index < most) words_[index / word_bits] |= 1UL << index % word_bits;
}

void ProcessorSet::remove(int processor) noexcept {
  const auto index = static_cast<std::size_t>(processor);
  if (index < most) words_[index / word_bits] &= ~(1UL << index % word_bits);
}

#ifdef __linux__
bool ProcessorSet::read(ThreadId thread) noexcept {
  clear();
  return sched_getaffinity(thread, sizeof(words_),
                           static_cast<cpu_set_t*>(static_cast<void*>(words_.data()))) == 0;
}

bool ProcessorSet::give_to(ThreadId thread) const noexcept {
  return sched_setaffinity(
             thread, sizeof(words_),
             static_cast<const cpu_set_t*>(static_cast<const void*>(words_.data()))) == 0;
}

namespace {

// A thread that runs uses processor time within this.
constexpr auto moment = std::chrono::microseconds(2);

// Nanoseconds of processor time that a thread has used; less than 0 if it is not known.
long long time_used(ThreadId thread) {
  // What pthread_getcpuclockid gives, from the system's id of a thread.
  const auto clock = static_cast<clockid_t>(~static_cast<unsigned>(thread) << 3 | 6U);
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return -1;
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// A thread cannot stay where it may not run, so it moves at once; then it may run there again.
bool move_within(ThreadId thread, const ProcessorSet& allowed, const ProcessorSet& wanted) {
  if (wanted.count() == 0 || !wanted.give_to(thread)) return false;
  allowed.give_to(thread);
  return true;
}

const ProcessorSet of_the_program = [] {
  ProcessorSet allowed;
  allowed.read(0);
  return allowed;
}();

// It was measured on two processors alone; of more, the system may find a free one itself.
bool is_worth_placing() {
  return of_the_program.count() > 1 && of_the_program.count() <= tuning::most_placed_processors;
}

}  // namespace

ThreadId this_thread_id() { return static_cast<ThreadId>(syscall(SYS_gettid)); }

void run_where_the_program_may() noexcept {
  if (of_the_program.count() > 0) of_the_program.give_to(0);
}

bool has_lost_its_core(ThreadId thread) {
  if (!is_worth_placing()) return false;
  const long long before = time_used(thread);
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < moment) {
  }
  return before >= 0 && time_used(thread) == before;
}

int bring_here(ThreadId thread) noexcept {
  ProcessorSet allowed, wanted;
  const int processor = sched_getcpu();
  if (processor < 0 || !allowed.read(thread)) return -1;
  if (allowed.has(processor)) wanted.add(processor);
  return move_within(thread, allowed, wanted) ? processor : -1;
}

bool keep_elsewhere(ThreadId thread, ProcessorSet& allowed) noexcept {
  if (!is_worth_placing()) return false;
  const int processor = sched_getcpu();
  if (processor < 0 || !allowed.read(thread)) return false;
  ProcessorSet wanted = allowed;
  wanted.remove(processor);
  return wanted.count() > 0 && wanted.give_to(thread);
}

void leave_processor(int processor) noexcept {
  ProcessorSet allowed;
  if (sched_getcpu() != processor || !allowed.read(0)) return;
  ProcessorSet wanted = allowed;
  wanted.remove(processor);
  move_within(0, allowed, wanted);
}
#else
bool ProcessorSet::read(ThreadId) noexcept { return false; }
bool ProcessorSet::give_to(ThreadId) const noexcept { return false; }
ThreadId this_thread_id() { return 0; }
void run_where_the_program_may() noexcept {}
bool has_lost_its_core(ThreadId) { return false; }
int bring_here(ThreadId) noexcept { return -1; }
bool keep_elsewhere(ThreadId, ProcessorSet&) noexcept { return false; }
void leave_processor(int) noexcept {}
#endif

}  // namespace pyrnn
