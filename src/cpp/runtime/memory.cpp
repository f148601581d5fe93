#include "runtime/memory.hpp"

#include <pthread.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>
#include <new>

namespace pyrnn {
namespace {

using Clock = std::chrono::steady_clock;

// Large blocks are kept up to so many bytes, or to what was in use at once: a call whose buffers
// are larger would else fault in all of them each time. Beyond the former, for a while.
constexpr std::size_t always_kept = std::size_t{128} << 20;
constexpr auto a_while = std::chrono::seconds(30);
constexpr std::size_t most_small_kept = std::size_t{1} << 20;
constexpr std::size_t large = std::size_t{32} << 10, unit = 64;

std::size_t rounded(std::size_t bytes) {
  const std::size_t whole = bytes < large ? unit : 4096;
  return (bytes + whole - 1) / whole * whole;
}

struct Block {
  void* memory;
  std::size_t bytes;
  Clock::time_point since;
};

// Freed blocks, the latest first. Small ones are in a list for each size, held together by a
// pointer at the begin of each.
struct Kept {
  std::mutex mutex;
  std::list<Block> blocks;
  std::size_t total = 0, in_use = 0, most_in_use = 0;
  void* small[large / unit] = {};
  std::size_t small_total = 0;
};

Kept& kept();

// A fork waits until no thread is at the blocks: a child could not free the lock of one it lacks.
Kept* make_kept() {
  pthread_atfork([] { kept().mutex.lock(); }, [] { kept().mutex.unlock(); },
                 [] { kept().mutex.unlock(); });
  return new Kept;
}

// Never destroyed: arrays may outlive static objects.
Kept& kept() {
  static Kept* const blocks = make_kept();
  return *blocks;
}

void* take_small(Kept& pool, std::size_t bytes) {
  void*& first = pool.small[bytes / unit - 1];
  void* const memory = first;
  if (memory == nullptr) return nullptr;
  std::memcpy(&first, memory, sizeof(first));
  pool.small_total -= bytes;
  return memory;
}

// Whether there was room for it
bool keep_small(Kept& pool, void* memory, std::size_t bytes) {
  if (pool.small_total + bytes > most_small_kept) return false;
  void*& first = pool.small[bytes / unit - 1];
  std::memcpy(memory, &first, sizeof(first));
  first = memory;
  pool.small_total += bytes;
  return true;
}

void* take_large(Kept& pool, std::size_t bytes) {
  for (auto block = pool.blocks.begin(); block != pool.blocks.end(); ++block) {
    if (block->bytes == bytes) {
      void* const memory = block->memory;
      pool.total -= bytes;
      pool.blocks.erase(block);
      return memory;
    }
  }
  return nullptr;
}

// What was kept longest makes room. All that is kept and in use never exceeds what was in use at
// once by more than is always kept.
void make_room(Kept& pool) {
  if (pool.total <= always_kept) return;
  const std::size_t room = std::max(always_kept, pool.most_in_use - pool.in_use);
  const auto longest = Clock::now() - a_while;
  while (pool.total > room || (pool.total > always_kept && pool.blocks.back().since < longest)) {
    pool.total -= pool.blocks.back().bytes;
    std::free(pool.blocks.back().memory);
    pool.blocks.pop_back();
  }
}

void use_large(Kept& pool, std::size_t bytes) {
  pool.in_use += bytes;
  pool.most_in_use = std::max(pool.most_in_use, pool.in_use);
}

// Whether it is kept
bool keep_large(Kept& pool, void* memory, std::size_t bytes) {
  pool.in_use -= bytes;
  try {
    pool.blocks.push_front({memory, bytes, Clock::now()});
  } catch (const std::bad_alloc&) {
    return false;
  }
  pool.total += bytes;
  make_room(pool);
  return true;
}

void* take_kept(std::size_t bytes) {
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  if (bytes < large) return take_small(pool, bytes);
  void* const memory = take_large(pool, bytes);
  use_large(pool, bytes);
  if (memory == nullptr) make_room(pool);
  return memory;
}

// What could not be had is not in use.
void forget(std::size_t bytes) {
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  if (bytes >= large) pool.in_use -= bytes;
}

// In whole pages of 2 MiB as far as they go: a row of pre-activations may be a page of 4 KiB, of
// which the processor remembers too few.
void* allocate(std::size_t bytes) {
  constexpr std::size_t huge_page = std::size_t{2} << 20;
  const bool huge = bytes >= 2 * huge_page;
  void* memory = nullptr;
  if (posix_memalign(&memory, huge ? huge_page : 64, bytes) != 0) return nullptr;
#ifdef __linux__
  if (huge) madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return memory;
}

}  // namespace

void* acquire_memory(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  void* memory = take_kept(size);
  if (memory == nullptr) memory = allocate(size);
  if (memory == nullptr) {
    forget(size);
    throw std::bad_alloc();
  }
  return memory;
}

void release_memory(void* memory, std::size_t bytes) noexcept {
  const std::size_t size = rounded(bytes);
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  const bool stays = size < large ? keep_small(pool, memory, size) : keep_large(pool, memory, size);
  if (!stays) std::free(memory);
}

}  // namespace pyrnn
