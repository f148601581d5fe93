// What tests/sanitizers builds in to find mistakes around memory that is used again, which nobody
// else could see; nothing in other builds.
#pragma once

#include <cstddef>
#ifdef PYRNN_FILL_MEMORY
#include <cstring>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace pyrnn {

// Numbers that nobody has written are NaN (or, as indices, -1), whatever was there before.
inline void mark_unwritten([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef PYRNN_FILL_MEMORY
  std::memset(memory, 0xFF, bytes);
#endif
}

// Of a block of `size` bytes its owner may touch the first `bytes`.
inline void mark_owned([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes,
                       [[maybe_unused]] std::size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(memory, bytes);
  __asan_poison_memory_region(static_cast<char*>(memory) + bytes, size - bytes);
#endif
  mark_unwritten(memory, bytes);
}

// Nobody may touch it, but for a pointer at its begin, where the blocks of one size are linked.
inline void mark_kept([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(memory, sizeof(void*));
  __asan_poison_memory_region(static_cast<char*>(memory) + sizeof(void*), size - sizeof(void*));
#endif
}

}  // namespace pyrnn
