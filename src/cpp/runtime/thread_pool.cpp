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
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/flush_scope.hpp"
#include "runtime/placement.hpp"
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace pyrnn {
namespace {

constexpr int max_threads = 256;

// A thread that waits for another's part burns a core which that may have lost. Between two calls
// nobody is held up, and a core that sleeps takes some 100 us to wake.
constexpr auto spin_for_part = std::chrono::microseconds(20);
constexpr auto spin_for_job = std::chrono::microseconds(100);

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

// Where threads wait: spin first, then sleep until woken.
class Waiting {
 public:
  explicit Waiting(std::chrono::microseconds spin_time) : spin_time_(spin_time) {}

  // Returns whether ready() has become true soon.
  template <class Ready>
  bool spin_for(const Ready& ready) {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      pause();
    }
    const auto start = std::chrono::steady_clock::now();
    do {
      for (int i = 0; i < 16; ++i) {
        if (ready()) return true;
        pause();
      }
    } while (std::chrono::steady_clock::now() - start < spin_time_);
    return false;
  }

  // Returns once ready() is true.
  template <class Ready>
  void sleep_for(const Ready& ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleepers_;
    woken_.wait(lock, ready);
    --sleepers_;
  }

  bool has_sleepers() const { return sleepers_ > 0; }

  // To be called after what makes `ready` true.
  void wake() {
    if (sleepers_ == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    woken_.notify_all();
  }

 private:
  const std::chrono::microseconds spin_time_;
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable woken_;
};

// A part, apart from others in memory, as each mostly has one thread.
struct alignas(64) Part {
  std::atomic<std::uint64_t> at{1};     // 2 p while phase p of it is under way, 2 p + 1 after that
  std::atomic<ThreadId> worker{0};      // that is on it; 0 for the caller
  std::atomic<int> lent_processor{-1};  // where that has been brought
};

// The workers and the job they are on.
//
// Phases are numbered over all jobs. The part that is behind tells where a job is: nobody begins a
// phase while a part is behind it, and a part is taken by bringing it from 2 p - 1 to 2 p. Between
// two jobs a number is left out, so that nobody takes a part of a job that has ended. Only who has
// taken a part looks at the work: it lasts until that part is done.
class Workers {
 public:
  // Whether the workers are the caller's from here on, until it gives them back. Not a mutex: who
  // has them may ask again, from within its work, and is refused like others.
  bool lease() { return !leased_.exchange(true); }
  void end_lease() { leased_ = false; }

  // Every worker wakes for every job, so there are as many as the team has use for.
  void resize(int count) {
    if (static_cast<int>(threads_.size()) > count - 1) dismiss();
    while (static_cast<int>(threads_.size()) < count - 1) {
      const int index = static_cast<int>(threads_.size()) + 1;
      std::promise<ThreadId> id;
      threads_.emplace_back([this, index, seen = job_.load(), &id] {
        id.set_value(this_thread_id());
        serve(index, seen);
      });
      ids_.push_back(id.get_future().get());
    }
  }

  void run(int parts, Size phases, bool divisible, const std::function<void(Size, int)>& work) {
    first_ = last_ + 2;
    work_ = &work;
    divisible_.store(divisible, std::memory_order_relaxed);
    for (std::size_t part = 0; part <= threads_.size(); ++part)
      at_[part].at.store(2 * first_ - 1, std::memory_order_relaxed);
    parts_.store(parts, std::memory_order_relaxed);
    last_.store(first_ + static_cast<std::uint64_t>(phases) - 1);
    ++job_;
    if (for_job_.has_sleepers()) {
      const std::lock_guard<std::mutex> lock(placing_);
      wake_elsewhere(ids_, [this] { for_job_.wake(); });
    }
    join(0, 0);
  }

  bool has_waiting() const { return waiting_ > 0; }

  // A part of the last phase that has ended, if none is left to begin. It counts as under way until
  // it is given.
  int vacant_part() {
    const std::uint64_t last = last_;
    const int parts = parts_.load(std::memory_order_relaxed);
    int vacant = -1;
    for (int part = 0; part < parts; ++part) {
      const std::uint64_t at = at_[part].at;
      if (at < 2 * last) return -1;
      if (at > 2 * last) vacant = part;
    }
    std::uint64_t ended = 2 * last + 1;
    if (vacant < 0 || !at_[vacant].at.compare_exchange_strong(ended, 2 * last)) return -1;
    ++gifts_;
    at_[vacant].worker.store(0, std::memory_order_relaxed);
    return vacant;
  }

  void give(int part) {
    at_[part].at = 2 * last_ - 1;
    for_part_.wake();
  }

 private:
  void dismiss() {
    stop_ = true;
    ++job_;
    for_job_.wake();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    ids_.clear();
    stop_ = false;
  }

  void serve(int index, std::uint64_t seen) {
    const FlushScope flush;
    const ThreadId id = this_thread_id();
    while (true) {
      const auto posted = [&] { return job_ != seen; };
      if (!for_job_.spin_for(posted)) for_job_.sleep_for(posted);
      seen = job_;
      if (stop_) return;
      join(index, id);
    }
  }

  // Does parts of a job until it has ended, or nothing is left for a worker to begin.
  void join(int index, ThreadId worker) {
    while (true) {
      // In this order: `parts_` belongs to the job of `last`, or that one has ended.
      const std::uint64_t last = last_;
      const int parts = parts_.load(std::memory_order_relaxed);
      if (index >= parts) return;
      const auto [part, at] = most_behind(parts, index);
      const std::uint64_t phase = (at + 1) / 2;
      if (phase > last) return;
      if (at % 2 == 0) {
        if (index > 0 && phase == last && !divisible_.load(std::memory_order_relaxed)) return;
        wait_for_part(part, at, parts);
      } else if (take(part, phase)) {
        at_[part].worker.store(worker, std::memory_order_relaxed);
        (*work_)(static_cast<Size>(phase - first_), part);
        const int lent = at_[part].lent_processor;
        if (lent >= 0) at_[part].lent_processor = -1;
        at_[part].at = 2 * phase + 1;
        if (most_behind(parts, part).at > 2 * phase) for_part_.wake();
        if (lent >= 0 && worker != 0) {
          const std::lock_guard<std::mutex> lock(placing_);
          leave_processor(lent);
        }
      }
    }
  }

  bool take(int part, std::uint64_t phase) {
    std::uint64_t before = 2 * phase - 1;
    return at_[part].at.compare_exchange_strong(before, 2 * phase);
  }

  void wait_for_part(int part, std::uint64_t at, int parts) {
    const auto moved = [&] { return most_behind(parts, part).at != at; };
    ++waiting_;
    const bool soon = for_part_.spin_for(moved);
    const ThreadId worker = at_[part].worker.load(std::memory_order_relaxed);
    const bool lends = !soon && worker != 0 && has_lost_its_core(worker) && at_[part].at == at;
    if (lends) {
      --waiting_;  // without a core, nothing can be given to this thread
      const std::lock_guard<std::mutex> lock(placing_);
      at_[part].lent_processor = bring_here(worker);
    }
    if (!soon) for_part_.sleep_for(moved);
    if (!lends) --waiting_;
  }

  // The part that is most behind: of several the first from `part` on.
  struct Behind {
    int part;
    std::uint64_t at;
  };
  // A part that is given begins again: who has looked at it before, and at the giver's after that,
  // would take all for ended.
  Behind most_behind(int parts, int part) const {
    while (true) {
      const std::uint64_t gifts = gifts_;
      Behind least{part, at_[part].at};
      for (int i = 1, other = part; i < parts; ++i) {
        other = other + 1 < parts ? other + 1 : 0;
        const std::uint64_t at = at_[other].at;
        if (at < least.at) least = {other, at};
      }
      if (gifts_ == gifts) return least;
    }
  }

  std::atomic<bool> leased_{false};
  std::vector<std::thread> threads_;
  std::vector<ThreadId> ids_;
  std::mutex placing_;  // who moves a thread reads first where it may run, and restores that
  Waiting for_job_{spin_for_job}, for_part_{spin_for_part};
  std::atomic<std::uint64_t> job_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(Size, int)>* work_ = nullptr;
  std::uint64_t first_ = 0;
  std::atomic<std::uint64_t> last_{0};
  std::atomic<int> parts_{0};
  std::atomic<bool> divisible_{false};
  std::atomic<int> waiting_{0};          // threads, for a part
  std::atomic<std::uint64_t> gifts_{0};  // parts given so far
  Part at_[max_threads];
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
  if (count <= 1 || !the_workers().lease()) return;
  the_workers().resize(available);
  leased_ = true;
  size_ = count;
}

Team::~Team() {
  if (leased_) the_workers().end_lease();
}

void Team::run(int parts, Size phases, const std::function<void(Size, int)>& work) {
  const FlushScope flush;
  if (parts > 1 && leased_) {
    the_workers().run(parts, phases, false, work);
  } else {
    for (Size phase = 0; phase < phases; ++phase) work(phase, 0);
  }
}

void Team::run_divisible(int parts, const std::function<void(int)>& work) {
  const FlushScope flush;
  divides_ = parts > 1 && leased_;
  if (divides_) {
    the_workers().run(parts, 1, true, [&](Size, int part) { work(part); });
  } else {
    work(0);
  }
}

bool Team::has_waiting() const { return divides_ && the_workers().has_waiting(); }

int Team::vacant_part() { return divides_ ? the_workers().vacant_part() : -1; }

void Team::give(int part) { the_workers().give(part); }

}  // namespace pyrnn
