#include "runtime/threads/pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/cores/placement.hpp"
#include "runtime/machine/flush_scope.hpp"
#include "runtime/threads/fork.hpp"
#include "runtime/threads/interrupts.hpp"
#include "runtime/threads/waiting.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

using Clock = std::chrono::steady_clock;

// A part, apart from others in memory, as each mostly has one thread.
struct alignas(64) Part {
  // 2 p while phase p of it is under way, 2 p + 1 after that
  std::atomic<std::uint64_t> progress{1};
  std::atomic<ThreadId> worker{0};      // that is on it; 0 for the caller
  std::atomic<int> lent_processor{-1};  // where that has been brought
};

// A thread of the pool, and where it waits for a job that has a part for it.
struct alignas(64) Worker {
  explicit Worker(int its_index) : index(its_index) {}

  const int index;
  std::atomic<ThreadId> id{0};        // once it runs
  std::atomic<std::uint64_t> job{0};  // the last one that has a part for it
  std::atomic<bool> stop{false};
  Waiting waiting{tuning::spin_for_job};
  ProcessorSet allowed;  // of its own, while it is held elsewhere
  bool held_elsewhere = false;
  std::thread thread;
};

}  // namespace

// The workers and the job they are on.
//
// Phases are numbered over all jobs. The part that is furthest behind tells where a job is: nobody
// begins a phase while a part is in an earlier one, and a part is taken by bringing it from 2 p - 1
// to 2 p. Between
// two jobs a number is left out, so that nobody takes a part of a job that has ended. Only who has
// taken a part looks at the work: it lasts until that part is done. A part that fails is brought to
// the end of the job at once, and so is every part that is taken after that.
class Workers {
 public:
  const unsigned generation = fork_generation();

  // Whether the workers are the caller's from here on, until it gives them back. Not a mutex: who
  // has them may ask again, from within its work, and is refused like others.
  bool lease() noexcept { return !leased_.exchange(true); }
  void end_lease() noexcept { leased_ = false; }

  // Ends those that no team has use for any longer.
  void shrink(int count) noexcept {
    const std::size_t left = static_cast<std::size_t>(count);
    for (std::size_t i = left; i < workers_.size(); ++i) {
      workers_[i]->stop = true;
      workers_[i]->waiting.wake();
    }
    for (std::size_t i = left; i < workers_.size(); ++i) workers_[i]->thread.join();
    if (left < workers_.size()) workers_.resize(left);
  }

  // How many threads there can be, as far as is known.
  int capacity() const noexcept {
    return refused_ && Clock::now() < next_try_ ? size() + 1 : most_threads;
  }

  void run(int parts, Size phases, bool divisible, const std::function<void(Size, int)>& work) {
    grow(parts - 1);
    first_ = last_ + 2;
    work_ = &work;
    failing_.store(false, std::memory_order_relaxed);
    cancelled_.store(false, std::memory_order_relaxed);
    divisible_.store(divisible, std::memory_order_relaxed);
    for (int part = 0; part < parts; ++part)
      all_parts_[part].progress.store(2 * first_ - 1, std::memory_order_relaxed);
    parts_.store(parts, std::memory_order_relaxed);
    last_.store(first_ + static_cast<std::uint64_t>(phases) - 1);
    wake(std::min(parts - 1, size()));
    {
      const CancelScope cancels(cancelled_);
      join(0, 0);
    }
    if (failing_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  bool has_waiting() const { return waiting_ > 0; }

  // A part of the last phase that has ended, if none is left to begin. It counts as under way until
  // it is given.
  int take_vacant_part() {
    const std::uint64_t last = last_;
    const int parts = parts_.load(std::memory_order_relaxed);
    int vacant = -1;
    for (int part = 0; part < parts; ++part) {
      const std::uint64_t progress = all_parts_[part].progress;
      if (progress < 2 * last) return -1;
      if (progress > 2 * last) vacant = part;
    }
    std::uint64_t ended = 2 * last + 1;
    if (vacant < 0 || !all_parts_[vacant].progress.compare_exchange_strong(ended, 2 * last))
      return -1;
    ++gifts_;
    all_parts_[vacant].worker.store(0, std::memory_order_relaxed);
    return vacant;
  }

  void hand_over(int part) {
    all_parts_[part].progress = 2 * last_ - 1;
    for_part_.wake();
  }

 private:
  int size() const noexcept { return static_cast<int>(workers_.size()); }

  void grow(int count) noexcept {
    if (size() >= count || capacity() < most_threads) return;
    try {
      workers_.reserve(static_cast<std::size_t>(count));
      while (size() < count) {
        auto worker = std::make_unique<Worker>(size() + 1);
        worker->thread = std::thread([this, own = worker.get()] { serve(*own); });
        workers_.push_back(std::move(worker));
      }
      refused_ = false;
    } catch (const std::exception&) {
      refused_ = true;
      next_try_ = Clock::now() + tuning::between_thread_tries;
    }
  }

  // Tells the first workers of a new job.
  void wake(int count) noexcept {
    ++job_;
    bool any_sleeps = false;
    for (int i = 0; i < count; ++i) {
      Worker& worker = worker_of(i);
      worker.job = job_;
      any_sleeps = any_sleeps || worker.waiting.has_sleepers();
    }
    if (!any_sleeps) return;
    const std::lock_guard<std::mutex> lock(placing_);
    for (int i = 0; i < count; ++i) {
      Worker& worker = worker_of(i);
      const ThreadId id = worker.id;
      worker.held_elsewhere =
          id != 0 && worker.waiting.has_sleepers() && keep_elsewhere(id, worker.allowed);
    }
    for (int i = 0; i < count; ++i) worker_of(i).waiting.wake();
    for (int i = 0; i < count; ++i) {
      Worker& worker = worker_of(i);
      if (worker.held_elsewhere) worker.allowed.give_to(worker.id);
    }
  }

  Worker& worker_of(int i) { return *workers_[static_cast<std::size_t>(i)]; }

  void serve(Worker& worker) {
    run_where_the_program_may();
    const FlushScope flush;
    const CancelScope cancels(cancelled_);
    const ThreadId id = this_thread_id();
    worker.id = id;
    std::uint64_t seen = 0;
    const auto posted = [&] { return worker.job != seen || worker.stop; };
    while (true) {
      if (!worker.waiting.spin_for(posted)) worker.waiting.sleep_for(posted);
      if (worker.stop) return;
      seen = worker.job;
      join(worker.index, id);
    }
  }

  // Does parts of a job until it has ended, or nothing is left for a worker to begin.
  void join(int index, ThreadId worker) {
    while (true) {
      if (index == 0) refuse_fork();
      // In this order: `parts_` belongs to the job of `last`, or that one has ended.
      const std::uint64_t last = last_;
      const int parts = parts_.load(std::memory_order_relaxed);
      if (index >= parts) return;
      const auto [part, progress] = most_behind(parts, index);
      const std::uint64_t phase = (progress + 1) / 2;
      if (phase > last) return;
      if (progress % 2 == 0) {
        if (index > 0 && phase == last && !divisible_.load(std::memory_order_relaxed)) return;
        wait_for_part(part, progress, parts);
      } else if (take(part, phase)) {
        all_parts_[part].worker.store(worker, std::memory_order_relaxed);
        const bool done = perform(static_cast<Size>(phase - first_), part);
        const int lent = all_parts_[part].lent_processor;
        if (lent >= 0) all_parts_[part].lent_processor = -1;
        all_parts_[part].progress = 2 * (done ? phase : last) + 1;
        if (most_behind(parts, part).progress > 2 * phase) for_part_.wake();
        if (lent >= 0 && worker != 0) {
          const std::lock_guard<std::mutex> lock(placing_);
          leave_processor(lent);
        }
      }
    }
  }

  // Whether it was done; what it throws ends the job.
  bool perform(Size phase, int part) noexcept {
    if (cancelled_) return false;
    try {
      (*work_)(phase, part);
      return true;
    } catch (...) {
      fail(std::current_exception());
      return false;
    }
  }

  // The first failure is that of the job: others may follow from it.
  void fail(std::exception_ptr failure) noexcept {
    if (failing_.exchange(true)) return;
    failure_ = std::move(failure);
    cancelled_ = true;
  }

  // A signal handler that the caller runs during a job may fork: the child has no workers, and
  // nobody else does the other parts.
  void refuse_fork() const {
    if (generation != fork_generation())
      throw std::runtime_error("the process was forked during this call");
  }

  bool take(int part, std::uint64_t phase) {
    std::uint64_t before = 2 * phase - 1;
    return all_parts_[part].progress.compare_exchange_strong(before, 2 * phase);
  }

  void wait_for_part(int part, std::uint64_t progress, int parts) {
    const auto moved = [&] { return most_behind(parts, part).progress != progress; };
    ++waiting_;
    const bool soon = for_part_.spin_for(moved);
    const ThreadId worker = all_parts_[part].worker.load(std::memory_order_relaxed);
    const bool lends =
        !soon && worker != 0 && has_lost_its_core(worker) && all_parts_[part].progress == progress;
    if (lends) {
      --waiting_;  // without a core, nothing can be given to this thread
      const std::lock_guard<std::mutex> lock(placing_);
      all_parts_[part].lent_processor = bring_here(worker);
    }
    if (!soon) sleep_until(moved);
    if (!lends) --waiting_;
  }

  // The caller looks after signals meanwhile.
  template <class Ready>
  void sleep_until(const Ready& ready) {
    if (!has_question()) {
      for_part_.sleep_for(ready);
      return;
    }
    while (!for_part_.sleep_for(ready, tuning::question_interval)) {
      if (cancelled_) continue;
      try {
        check_interrupts();
      } catch (...) {
        fail(std::current_exception());
      }
      refuse_fork();
    }
  }

  // The part that is furthest behind: of several, the first from `part` on.
  struct Behind {
    int part;
    std::uint64_t progress;
  };
  // A part that is given begins again: who has looked at it before, and at the giver's after that,
  // would take all for ended.
  Behind most_behind(int parts, int part) const {
    while (true) {
      const std::uint64_t gifts = gifts_;
      Behind least{part, all_parts_[part].progress};
      for (int i = 1, other = part; i < parts; ++i) {
        other = other + 1 < parts ? other + 1 : 0;
        const std::uint64_t progress = all_parts_[other].progress;
        if (progress < least.progress) least = {other, progress};
      }
      if (gifts_ == gifts) return least;
    }
  }

  std::atomic<bool> leased_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
  bool refused_ = false;  // whether the system would not start one
  Clock::time_point next_try_{};
  std::mutex placing_;  // who moves a thread reads first where it may run, and restores that
  Waiting for_part_{tuning::spin_for_part};
  std::uint64_t job_ = 0;
  const std::function<void(Size, int)>* work_ = nullptr;
  std::uint64_t first_ = 0;
  std::atomic<std::uint64_t> last_{0};
  std::atomic<int> parts_{0};
  std::atomic<bool> divisible_{false};
  std::atomic<int> waiting_{0};          // threads, for a part
  std::atomic<std::uint64_t> gifts_{0};  // parts given so far
  std::atomic<bool> failing_{false}, cancelled_{false};
  std::exception_ptr failure_;
  Part all_parts_[most_threads];
};

namespace {

std::atomic<Workers*> pool{nullptr};

// Those of the process that this one was forked from do not exist here, and cannot be freed safely.
Workers& the_workers() {
  Workers* current = pool.load();
  if (current == nullptr || current->generation != fork_generation()) {
    auto fresh = std::make_unique<Workers>();
    if (pool.compare_exchange_strong(current, fresh.get())) current = fresh.release();
  }
  return *current;
}

}  // namespace

Team::Team(int wanted) {
  // Read once: another thread may set it between two readings.
  const int available = num_threads();
  const int count = wanted < available ? wanted : available;
  if (count <= 1) return;
  Workers& workers = the_workers();
  if (!workers.lease()) return;
  workers_ = &workers;
  workers.shrink(available - 1);
  size_ = std::min(count, workers.capacity());
}

Team::~Team() {
  if (workers_ != nullptr) workers_->end_lease();
}

void Team::run(int parts, Size phases, const std::function<void(Size, int)>& work) {
  if (parts > 1 && workers_ != nullptr) {
    workers_->run(parts, phases, false, work);
  } else {
    for (Size phase = 0; phase < phases; ++phase) work(phase, 0);
  }
}

void Team::run_divisible(int parts, const std::function<void(int)>& work) {
  divides_ = parts > 1 && workers_ != nullptr;
  if (divides_) {
    workers_->run(parts, 1, true, [&](Size, int part) { work(part); });
  } else {
    work(0);
  }
}

bool Team::has_waiting() const { return divides_ && workers_->has_waiting(); }

int Team::take_vacant_part() { return divides_ ? workers_->take_vacant_part() : -1; }

void Team::hand_over(int part) { workers_->hand_over(part); }

}  // namespace pyrnn
