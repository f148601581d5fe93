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
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>

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

struct Block;
using Blocks = std::list<Block>;
using BySize = std::multimap<std::size_t, Blocks::iterator>;

struct Block {
  void* memory;
  std::size_t bytes;
  BySize::iterator place;  // among sizes, while it is kept
  BySize::node_type node;  // that goes there, while it is in use
  Clock::time_point since;
};

// Large blocks, the latest first: those that are kept, also by their sizes, and those in use, also
// by where they are. Small ones are kept in a list for each size, held together by a pointer at the
// begin of each.
struct Kept {
  std::mutex mutex;
  Blocks blocks, lent;
  BySize by_size;
  std::unordered_map<void*, Blocks::iterator> at;
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

void lend(Kept& pool, Blocks& from, Blocks::iterator block) {
  pool.in_use += block->bytes;
  pool.most_in_use = std::max(pool.most_in_use, pool.in_use);
  pool.lent.splice(pool.lent.begin(), from, block);
}

// The least block that is large enough, the latest of these, if no more than half of it would lie
// idle: batches of different lengths take turns with the same blocks.
void* take_large(Kept& pool, std::size_t bytes) {
  const auto place = pool.by_size.lower_bound(bytes);
  if (place == pool.by_size.end() || place->first / 2 > bytes) return nullptr;
  const Blocks::iterator block = place->second;
  block->node = pool.by_size.extract(place);
  pool.total -= block->bytes;
  lend(pool, pool.blocks, block);
  return block->memory;
}

// What was kept longest makes room. All that is kept and in use never exceeds what was in use at
// once by more than is always kept.
void make_room(Kept& pool) {
  if (pool.total <= always_kept) return;
  const std::size_t room = std::max(always_kept, pool.most_in_use - pool.in_use);
  const auto longest = Clock::now() - a_while;
  while (pool.total > room || (pool.total > always_kept && pool.blocks.back().since < longest)) {
    const Block& block = pool.blocks.back();
    pool.total -= block.bytes;
    pool.by_size.erase(block.place);
    pool.at.erase(block.memory);
    std::free(block.memory);
    pool.blocks.pop_back();
  }
}

void* take_kept(std::size_t bytes) {
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  return bytes < large ? take_small(pool, bytes) : take_large(pool, bytes);
}

void keep_large(Kept& pool, void* memory) noexcept {
  const Blocks::iterator block = pool.at.find(memory)->second;
  block->since = Clock::now();
  block->place =
      pool.by_size.insert(pool.by_size.lower_bound(block->bytes), std::move(block->node));
  pool.in_use -= block->bytes;
  pool.total += block->bytes;
  pool.blocks.splice(pool.blocks.begin(), pool.lent, block);
  make_room(pool);
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

// All that is needed to take it back is made here, so that this cannot fail.
void* allocate_large(std::size_t bytes) {
  std::unique_ptr<void, decltype(&std::free)> memory(allocate(bytes), &std::free);
  if (memory == nullptr) return nullptr;
  Blocks block(1);
  block.front().memory = memory.get();
  block.front().bytes = bytes;
  BySize alone{{bytes, block.begin()}};
  block.front().node = alone.extract(alone.begin());
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  pool.at.emplace(memory.get(), block.begin());
  lend(pool, block, block.begin());
  make_room(pool);
  return memory.release();
}

}  // namespace

void* acquire_memory(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  void* memory = take_kept(size);
  if (memory == nullptr) memory = size < large ? allocate(size) : allocate_large(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release_memory(void* memory, std::size_t bytes) noexcept {
  const std::size_t size = rounded(bytes);
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  if (size >= large) {
    keep_large(pool, memory);
  } else if (!keep_small(pool, memory, size)) {
    std::free(memory);
  }
}

}  // namespace pyrnn
