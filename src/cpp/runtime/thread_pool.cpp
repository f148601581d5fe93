#include "runtime/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "runtime/flush_scope.hpp"
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace pyrnn {
namespace {

constexpr int max_threads = 256;
constexpr auto spin_time = std::chrono::microseconds(20);

inline void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Processors that the affinity mask leaves this process.
int affinity_count() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

// Processors' worth of time that the control group leaves this process; 0 for no limit.
int cgroup_count() {
  double quota = 0, period = 0;
  std::string word;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> word >> period) {
    if (word != "max") quota = std::atof(word.c_str());
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? static_cast<int>(std::ceil(quota / period)) : 0;
}

int default_threads() {
  if (const char* text = std::getenv("PYRNN_NUM_THREADS")) {
    const int wanted = std::atoi(text);
    if (wanted >= 1) return wanted < max_threads ? wanted : max_threads;
  }
  const int affinity = affinity_count(), cgroup = cgroup_count();
  return cgroup > 0 && cgroup < affinity ? cgroup : affinity;
}

// The workers and the job they are on.
struct Workers {
  std::mutex lease;
  std::vector<std::thread> threads;
  Signal job;
  const std::function<void(int)>* work = nullptr;
  int job_threads = 0;
  std::atomic<bool> stop{false};
  std::atomic<int> running{0};
  Signal done;

  // Every worker answers every job, so there are as many as the team has use for.
  void resize(int count) {
    if (static_cast<int>(threads.size()) > count - 1) dismiss();
    while (static_cast<int>(threads.size()) < count - 1) {
      const int index = static_cast<int>(threads.size()) + 1;
      threads.emplace_back([this, index, seen = job.value()] { serve(index, seen); });
    }
  }

  void dismiss() {
    stop = true;
    job.advance();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    stop = false;
  }

  void serve(int index, std::uint32_t seen) {
    while (true) {
      job.wait_past(seen);
      seen = job.value();
      if (stop) return;
      if (index < job_threads) {
        const FlushScope flush;
        (*work)(index);
      }
      if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) done.advance();
    }
  }

  void run(int count, const std::function<void(int)>& function) {
    work = &function;
    job_threads = count;
    running.store(static_cast<int>(threads.size()), std::memory_order_relaxed);
    const std::uint32_t seen = done.value();
    job.advance();
    function(0);
    done.wait_past(seen);
  }
};

std::atomic<int> wanted_threads{0};
std::atomic<Workers*> workers{nullptr};

// In a forked child the workers do not exist: forget them (their memory cannot be freed safely).
void forget_workers() { workers.store(nullptr); }

Workers& the_workers() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, forget_workers); });
  Workers* current = workers.load();
  if (current == nullptr) {
    auto fresh = std::make_unique<Workers>();
    if (workers.compare_exchange_strong(current, fresh.get())) current = fresh.release();
  }
  return *current;
}

}  // namespace

void Signal::advance() {
  value_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    const std::lock_guard<std::mutex> lock(mutex_);
    moved_.notify_all();
  }
}

void Signal::wait_past(std::uint32_t seen) {
  for (int i = 0; i < 64; ++i) {
    if (value() != seen) return;
    pause();
  }
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 16; ++i) {
      if (value() != seen) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() - start < spin_time);
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  moved_.wait(lock, [&] { return value_.load(std::memory_order_seq_cst) != seen; });
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

void Barrier::wait() {
  const std::uint32_t seen = passed_.value();
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    passed_.advance();
  } else {
    passed_.wait_past(seen);
  }
}

int num_threads() {
  int count = wanted_threads.load();
  if (count == 0) {
    count = default_threads();
    wanted_threads.store(count);
  }
  return count;
}

void set_num_threads(int threads) {
  wanted_threads.store(threads < max_threads ? threads : max_threads);
}

Team::Team(int wanted) {
  // Read once: another thread may set it between two readings, and a team larger than the pool
  // would wait for workers that are not there.
  const int available = num_threads();
  const int count = wanted < available ? wanted : available;
  if (count <= 1 || !the_workers().lease.try_lock()) return;
  the_workers().resize(available);
  leased_ = true;
  size_ = count;
}

Team::~Team() {
  if (leased_) the_workers().lease.unlock();
}

void Team::run(int threads, const std::function<void(int)>& work) {
  const FlushScope flush;
  if (threads <= 1 || !leased_) {
    work(0);
  } else {
    the_workers().run(threads, work);
  }
}

}  // namespace pyrnn
