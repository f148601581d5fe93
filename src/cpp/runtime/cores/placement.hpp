// Where workers run: a thread that waits for a worker whose core the system has given to another
// process moves the worker to its own core, and a thread that wakes workers keeps its own core.
// Neither happens where the program may run on more processors than this was measured with
// (`tuning::most_placed_processors`), or where the system has no such calls or forbids them.
#pragma once

#include <array>
#include <cstddef>

namespace pyrnn {

// A thread as the system knows it; 0 is none.
using ThreadId = int;

// The processors on which a thread may run. As large as any system's set, so that nothing has to be
// allocated.
class ProcessorSet {
 public:
  static constexpr int most = 8192;  // processors

  // Whether it is known; of this thread if `thread` is 0
  bool read(ThreadId thread) noexcept;
  // Lets a thread run on these.
  bool give_to(ThreadId thread) const noexcept;

  int count() const noexcept;
  bool has(int processor) const noexcept;
  void clear() noexcept { words_ = {}; }
  void add(int processor) noexcept;
  void remove(int processor) noexcept;

 private:
  static constexpr std::size_t word_bits = 8 * sizeof(unsigned long);

  std::array<unsigned long, most / word_bits> words_{};
};

ThreadId this_thread_id();

// Lets this thread run wherever the program might when it loaded the library: a new thread begins
// with what its maker may use at that moment.
void run_where_the_program_may() noexcept;

// Whether a thread that has work to do has made no progress for a moment.
bool has_lost_its_core(ThreadId thread);

// Moves a thread to the processor of the calling one, which should then sleep. Returns that
// processor, or less than 0. Where the thread may run stays what it was.
int bring_here(ThreadId thread) noexcept;

// Keeps a sleeping thread off the caller's processor while it is woken: some systems would put it
// there, because other processors sleep deeply, and it would wait for the end of the caller's time
// slice. Returns whether it did; then the thread's `allowed` processors must be restored.
bool keep_elsewhere(ThreadId thread, ProcessorSet& allowed) noexcept;

// Moves the calling thread to another processor, if there is one where it may run.
void leave_processor(int processor) noexcept;

}  // namespace pyrnn
