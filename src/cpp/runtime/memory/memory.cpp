#include "runtime/memory/memory.hpp"

#include <pthread.h>
#include <signal.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "runtime/memory/memory_marks.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

using Clock = std::chrono::steady_clock;

// What a call used beyond what is kept for good is kept for a while after its last use: a call
// whose buffers are larger would else fault in all of them each time.
constexpr std::size_t always_kept = tuning::always_kept, most_small_kept = tuning::most_small_kept;
constexpr auto a_while = tuning::kept_for;
constexpr std::size_t large = tuning::large_block, unit = 64;

std::size_t rounded(std::size_t bytes) {
  const std::size_t whole = bytes < large ? unit : 4096;
  return (bytes + whole - 1) / whole * whole;
}

struct Block;
using Blocks = std::list<Block>;
using BySize = std::multimap<std::size_t, Blocks::iterator>;

struct Block {
  void* memory;
  std::size_t bytes;
  BySize::iterator entry;  // among sizes, while it is kept
  BySize::node_type node;  // that goes there, while it is in use
  Clock::time_point since;
};

// Large blocks, the latest first: those that are kept, also by their sizes, and those in use, also
// by where they are. Small ones are kept in a list for each size, linked by a pointer at the start
// of each.
struct MemoryPool {
  std::mutex mutex;
  Blocks blocks, lent;
  BySize by_size;
  std::unordered_map<void*, Blocks::iterator> by_address;
  std::size_t total = 0, in_use = 0, most_in_use = 0;
  void* small[large / unit] = {};
  std::size_t small_total = 0;

  // The thread that returns idle memory to the system: it exists only while more is kept than
  // permanently, and not during a fork.
  std::thread watcher;
  std::condition_variable stop;
  bool watched = false;
  int forks = 0;  // under way
};

// Takes blocks out, the longest kept first, while more than `keep` bytes are kept.
Blocks taken_out(MemoryPool& pool, std::size_t keep, Clock::time_point kept_since) {
  Blocks gone;
  while (pool.total > keep && pool.blocks.back().since <= kept_since) {
    const auto block = std::prev(pool.blocks.end());
    pool.total -= block->bytes;
    pool.by_size.erase(block->entry);
    pool.by_address.erase(block->memory);
    gone.splice(gone.begin(), pool.blocks, block);
  }
  return gone;
}

std::size_t free_all(const Blocks& gone) {
  std::size_t bytes = 0;
  for (const Block& block : gone) {
    bytes += block.bytes;
    std::free(block.memory);
  }
  return bytes;
}

// malloc keeps what is freed below other blocks, and much of what is not.
void trim_malloc() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void (*at_start_of_watcher)() noexcept = nullptr;

void watch(MemoryPool& pool) {
  if (at_start_of_watcher != nullptr) at_start_of_watcher();
  std::unique_lock<std::mutex> lock(pool.mutex);
  while (pool.forks == 0 && pool.total > always_kept) {
    const Blocks gone = taken_out(pool, always_kept, Clock::now() - a_while);
    if (gone.empty()) {
      pool.stop.wait_until(lock, pool.blocks.back().since + a_while);
      continue;
    }
    pool.most_in_use = pool.in_use + pool.total;
    lock.unlock();
    free_all(gone);
    trim_malloc();
    lock.lock();
  }
  pool.watched = false;
}

// A thread that takes no signal: those are for the program's own.
std::thread start_watcher(MemoryPool& pool) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread watcher;
  try {
    watcher = std::thread(watch, std::ref(pool));
  } catch (const std::exception&) {  // as many threads as there may be
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return watcher;
}

// Ensures that memory beyond `always_kept` is returned when idle, even without further calls.
void watch_over(MemoryPool& pool) noexcept {
  if (pool.total <= always_kept || pool.watched || pool.forks > 0) return;
  if (pool.watcher.joinable()) pool.watcher.join();  // the former one, which has let go of the lock
  pool.watcher = start_watcher(pool);
  pool.watched = pool.watcher.joinable();
  if (!pool.watched) free_all(taken_out(pool, always_kept, Clock::time_point::max()));
}

MemoryPool& the_pool();

// A fork waits until no thread is at the blocks: a child could not free the lock of one it lacks.
// Nor has it the watcher, which ends before; so parent and child go on with what is kept for good.
void before_fork() {
  MemoryPool& pool = the_pool();
  std::unique_lock<std::mutex> lock(pool.mutex);
  if (++pool.forks == 1) {
    std::thread watcher = std::move(pool.watcher);
    pool.stop.notify_all();
    lock.unlock();
    if (watcher.joinable()) watcher.join();
    lock.lock();
  }
  free_all(taken_out(pool, always_kept, Clock::time_point::max()));
  lock.release();
}

void after_fork_in_parent() {
  --the_pool().forks;
  the_pool().mutex.unlock();
}

void after_fork_in_child() {
  the_pool().forks = 0;
  the_pool().watched = false;
  the_pool().mutex.unlock();
}

MemoryPool* make_pool() {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  return new MemoryPool;
}

// Never destroyed, because arrays may outlive static objects.
MemoryPool& the_pool() {
  static MemoryPool* const pool = make_pool();
  return *pool;
}

void* take_small(MemoryPool& pool, std::size_t bytes) {
  void*& first = pool.small[bytes / unit - 1];
  void* const memory = first;
  if (memory == nullptr) return nullptr;
  std::memcpy(&first, memory, sizeof(first));
  pool.small_total -= bytes;
  return memory;
}

// Whether there was room for it.
bool keep_small(MemoryPool& pool, void* memory, std::size_t bytes) {
  if (pool.small_total + bytes > most_small_kept) return false;
  void*& first = pool.small[bytes / unit - 1];
  std::memcpy(memory, &first, sizeof(first));
  first = memory;
  pool.small_total += bytes;
  return true;
}

void lend(MemoryPool& pool, Blocks& from, Blocks::iterator block) {
  pool.in_use += block->bytes;
  pool.most_in_use = std::max(pool.most_in_use, pool.in_use);
  pool.lent.splice(pool.lent.begin(), from, block);
}

// The least block that is large enough, the latest of these, if no more than half of it would lie
// idle: batches of different lengths take turns with the same blocks.
void* take_large(MemoryPool& pool, std::size_t bytes) {
  const auto entry = pool.by_size.lower_bound(bytes);
  if (entry == pool.by_size.end() || entry->first / 2 > bytes) return nullptr;
  const Blocks::iterator block = entry->second;
  block->node = pool.by_size.extract(entry);
  pool.total -= block->bytes;
  lend(pool, pool.blocks, block);
  return block->memory;
}

// What was kept longest makes room. All that is kept and in use never exceeds what was in use at
// once by more than is always kept.
void make_room(MemoryPool& pool) {
  const std::size_t room = std::max(always_kept, pool.most_in_use - pool.in_use);
  free_all(taken_out(pool, room, Clock::time_point::max()));
}

void* take_kept(std::size_t bytes) {
  MemoryPool& pool = the_pool();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  return bytes < large ? take_small(pool, bytes) : take_large(pool, bytes);
}

void keep_large(MemoryPool& pool, void* memory) noexcept {
  const Blocks::iterator block = pool.by_address.find(memory)->second;
  block->since = Clock::now();
  block->entry =
      pool.by_size.insert(pool.by_size.lower_bound(block->bytes), std::move(block->node));
  pool.in_use -= block->bytes;
  pool.total += block->bytes;
  pool.blocks.splice(pool.blocks.begin(), pool.lent, block);
  make_room(pool);
  watch_over(pool);
}

// The small blocks that are kept, each list by its first.
std::size_t free_small(void* const (&lists)[large / unit]) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < large / unit; ++i) {
    for (void* memory = lists[i]; memory != nullptr; bytes += (i + 1) * unit) {
      void* next;
      std::memcpy(&next, memory, sizeof(next));
      std::free(memory);
      memory = next;
    }
  }
  return bytes;
}

// In whole pages of 2 MiB as far as they go: a row of pre-activations may be a page of 4 KiB, of
// which the processor remembers too few.
void* allocate(std::size_t bytes) {
  constexpr std::size_t huge_page = tuning::large_page;
  const bool huge = bytes >= 2 * huge_page;
  void* memory = nullptr;
  if (posix_memalign(&memory, huge ? huge_page : 64, bytes) != 0) return nullptr;
#ifdef __linux__
  if (huge) madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return memory;
}

// All that is needed to take it back is made here, so that this cannot fail.
void* allocate_large(std::size_t bytes) {
  std::unique_ptr<void, decltype(&std::free)> memory(allocate(bytes), &std::free);
  if (memory == nullptr) return nullptr;
  Blocks block(1);
  block.front().memory = memory.get();
  block.front().bytes = bytes;
  BySize alone{{bytes, block.begin()}};
  block.front().node = alone.extract(alone.begin());
  MemoryPool& pool = the_pool();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  pool.by_address.emplace(memory.get(), block.begin());
  lend(pool, block, block.begin());
  make_room(pool);
  return memory.release();
}

}  // namespace

void* acquire_memory(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  void* memory = take_kept(size);
  if (memory == nullptr) memory = size < large ? allocate(size) : allocate_large(size);
  if (memory == nullptr) throw OutOfMemory(bytes);
  mark_owned(memory, bytes, size);
  return memory;
}

void release_memory(void* memory, std::size_t bytes) noexcept {
  const std::size_t size = rounded(bytes);
  mark_kept(memory, size);
  MemoryPool& pool = the_pool();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  if (size >= large) {
    keep_large(pool, memory);
  } else if (!keep_small(pool, memory, size)) {
    std::free(memory);
  }
}

void call_in_watcher(void (*function)() noexcept) noexcept { at_start_of_watcher = function; }

std::size_t release_idle_memory() {
  MemoryPool& pool = the_pool();
  Blocks gone;
  void* small[large / unit] = {};
  {
    const std::lock_guard<std::mutex> lock(pool.mutex);
    gone = taken_out(pool, 0, Clock::time_point::max());
    pool.most_in_use = pool.in_use;
    std::swap(small, pool.small);
    pool.small_total = 0;
  }
  const std::size_t bytes = free_all(gone) + free_small(small);
  trim_malloc();
  return bytes;
}

}  // namespace pyrnn
