#include "runtime/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
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

// A number that threads wait on: spin first, then sleep until it moves.
class Signal {
 public:
  std::uint64_t value() const { return value_.load(std::memory_order_acquire); }
  void set(std::uint64_t value);
  // Returns once the value is no longer `seen`.
  void wait_past(std::uint64_t seen);

 private:
  std::atomic<std::uint64_t> value_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable moved_;
};

// The last phase in which a part was taken; apart from others, as each mostly has one thread.
struct alignas(64) Part {
  std::atomic<std::uint64_t> taken{0};
};

// The workers and the job they are on.
//
// Phases are numbered over all jobs. Part i of phase p may be taken while taken[i] is p - 1; the
// numbers between two jobs leave a gap, so that nobody takes a part of a job that has ended. Only
// who has taken a part reads what the job is: the job lasts until that part is done.
class Workers {
 public:
  std::mutex lease;

  // Every worker wakes for every job, so there are as many as the team has use for.
  void resize(int count) {
    if (static_cast<int>(threads_.size()) > count - 1) dismiss();
    while (static_cast<int>(threads_.size()) < count - 1) {
      const int index = static_cast<int>(threads_.size()) + 1;
      threads_.emplace_back([this, index, seen = job_.value()] { serve(index, seen); });
    }
  }

  void run(int parts, Size phases, const std::function<void(Size, int)>& work) {
    const std::uint64_t ended = phase_.value();
    work_ = &work;
    first_ = ended + 1;
    last_.store(ended + static_cast<std::uint64_t>(phases), std::memory_order_relaxed);
    parts_.store(parts, std::memory_order_relaxed);
    left_.store(parts, std::memory_order_relaxed);
    for (int part = 0; part < parts; ++part)
      parts_taken_[part].taken.store(ended, std::memory_order_relaxed);
    phase_.set(first_);
    job_.set(job_.value() + 1);
    join(0);
  }

 private:
  void dismiss() {
    stop_ = true;
    job_.set(job_.value() + 1);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    stop_ = false;
  }

  void serve(int index, std::uint64_t seen) {
    const FlushScope flush;
    while (true) {
      job_.wait_past(seen);
      seen = job_.value();
      if (stop_) return;
      join(index);
    }
  }

  // Takes parts until the job has ended.
  void join(int index) {
    while (true) {
      const std::uint64_t phase = phase_.value();
      // Of this phase's job, or of a later one.
      const int parts = parts_.load(std::memory_order_relaxed);
      if (index >= parts || phase > last_.load(std::memory_order_relaxed)) return;
      const int part = take(phase, index, parts);
      if (part < 0) {
        if (index > 0 && phase == last_.load(std::memory_order_relaxed)) return;
        phase_.wait_past(phase);
        continue;
      }
      (*work_)(static_cast<Size>(phase - first_), part);
      if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) end(phase);
    }
  }

  // A part that nobody has begun, its own if it can be; less than 0 where there is none.
  int take(std::uint64_t phase, int index, int parts) {
    for (int i = 0; i < parts; ++i) {
      const int part = index + i < parts ? index + i : index + i - parts;
      std::atomic<std::uint64_t>& taken = parts_taken_[part].taken;
      std::uint64_t before = phase - 1;
      if (taken.load(std::memory_order_relaxed) == before &&
          taken.compare_exchange_strong(before, phase, std::memory_order_acq_rel))
        return part;
    }
    return -1;
  }

  void end(std::uint64_t phase) {
    left_.store(parts_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    phase_.set(phase < last_.load(std::memory_order_relaxed) ? phase + 1 : phase + 2);
  }

  std::vector<std::thread> threads_;
  Signal job_, phase_;
  std::atomic<bool> stop_{false};
  const std::function<void(Size, int)>* work_ = nullptr;
  std::uint64_t first_ = 0;
  std::atomic<std::uint64_t> last_{0};
  std::atomic<int> parts_{0};
  alignas(64) std::atomic<int> left_{0};
  Part parts_taken_[max_threads];
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

void Signal::set(std::uint64_t value) {
  value_.store(value, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    const std::lock_guard<std::mutex> lock(mutex_);
    moved_.notify_all();
  }
}

void Signal::wait_past(std::uint64_t seen) {
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

void Team::run(int parts, Size phases, const std::function<void(Size, int)>& work) {
  const FlushScope flush;
  if (parts > 1 && leased_) {
    the_workers().run(parts, phases, work);
  } else {
    for (Size phase = 0; phase < phases; ++phase) work(phase, 0);
  }
}

}  // namespace pyrnn
