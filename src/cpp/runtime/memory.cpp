#include "runtime/memory.hpp"

#include <pthread.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <list>
#include <mutex>
#include <new>

namespace pyrnn {
namespace {

constexpr std::size_t most_kept = std::size_t{128} << 20;
constexpr auto least_kept = static_cast<std::size_t>(least_kept_bytes);

std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes < least_kept ? 64 : 4096;
  return bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
}

struct Block {
  void* memory;
  std::size_t bytes;
};

// Freed blocks, the latest first.
struct Kept {
  std::mutex mutex;
  std::list<Block> blocks;
  std::size_t total = 0;
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

void* take_kept(std::size_t bytes) {
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
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
  void* memory = size >= least_kept ? take_kept(size) : nullptr;
  if (memory == nullptr) memory = allocate(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release_memory(void* memory, std::size_t bytes) noexcept {
  const std::size_t size = rounded(bytes);
  if (size < least_kept || size > most_kept) {
    std::free(memory);
    return;
  }
  Kept& pool = kept();
  const std::lock_guard<std::mutex> lock(pool.mutex);
  try {
    pool.blocks.push_front({memory, size});
  } catch (const std::bad_alloc&) {
    std::free(memory);
    return;
  }
  pool.total += size;
  while (pool.total > most_kept) {
    pool.total -= pool.blocks.back().bytes;
    std::free(pool.blocks.back().memory);
    pool.blocks.pop_back();
  }
}

}  // namespace pyrnn
