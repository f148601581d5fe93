#include "runtime/placement.hpp"

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <utility>
#endif

namespace pyrnn {

#ifdef __linux__
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
bool move_within(ThreadId thread, const cpu_set_t& allowed, const cpu_set_t& wanted) {
  if (CPU_COUNT(&wanted) == 0 || sched_setaffinity(thread, sizeof(wanted), &wanted) != 0)
    return false;
  sched_setaffinity(thread, sizeof(allowed), &allowed);
  return true;
}

}  // namespace

ThreadId this_thread_id() { return static_cast<ThreadId>(syscall(SYS_gettid)); }

bool has_lost_its_core(ThreadId thread) {
  const long long before = time_used(thread);
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < moment) {
  }
  return before >= 0 && time_used(thread) == before;
}

int bring_here(ThreadId thread) {
  cpu_set_t allowed, wanted;
  const int processor = sched_getcpu();
  if (processor < 0 || sched_getaffinity(thread, sizeof(allowed), &allowed) != 0) return -1;
  CPU_ZERO(&wanted);
  if (CPU_ISSET(processor, &allowed)) CPU_SET(processor, &wanted);
  return move_within(thread, allowed, wanted) ? processor : -1;
}

void wake_elsewhere(const std::vector<ThreadId>& threads, const std::function<void()>& wake) {
  const int processor = sched_getcpu();
  std::vector<std::pair<ThreadId, cpu_set_t>> kept_off;
  for (const ThreadId thread : threads) {
    cpu_set_t allowed, wanted;
    if (processor < 0 || sched_getaffinity(thread, sizeof(allowed), &allowed) != 0) continue;
    wanted = allowed;
    CPU_CLR(processor, &wanted);
    if (CPU_COUNT(&wanted) > 0 && sched_setaffinity(thread, sizeof(wanted), &wanted) == 0)
      kept_off.emplace_back(thread, allowed);
  }
  wake();
  for (const auto& [thread, allowed] : kept_off)
    sched_setaffinity(thread, sizeof(allowed), &allowed);
}

void leave_processor(int processor) {
  cpu_set_t allowed, wanted;
  if (sched_getcpu() != processor || sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  wanted = allowed;
  CPU_CLR(processor, &wanted);
  move_within(0, allowed, wanted);
}
#else
ThreadId this_thread_id() { return 0; }
bool has_lost_its_core(ThreadId) { return false; }
int bring_here(ThreadId) { return -1; }
void wake_elsewhere(const std::vector<ThreadId>&, const std::function<void()>& wake) { wake(); }
void leave_processor(int) {}
#endif

}  // namespace pyrnn
