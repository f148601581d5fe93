// Memory that is used again. A call's buffers are of the sizes of the call's before, or somewhat
// smaller or larger where sequences differ in length; giving them back to the system each time
// would cost a page fault for every 4 KiB of the next call, and malloc takes long to find small
// aligned blocks. A large buffer takes the least block that is kept of its size to twice its size.
#pragma once

#include <cstddef>
#include <cstdio>
#include <new>

namespace pyrnn {

// There is no room for so many bytes; Python's MemoryError says how many.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::size_t bytes) noexcept {
    std::snprintf(message_, sizeof(message_), "cannot allocate %zu bytes", bytes);
  }
  const char* what() const noexcept override { return message_; }

 private:
  char message_[64];  // no string, which would allocate
};

// 64-byte aligned memory of at least `bytes`; throws OutOfMemory.
void* acquire_memory(std::size_t bytes);
// Takes back what `acquire_memory(bytes)` gave. Up to 17 MiB are kept for later calls; what a call
// used beyond them, at most what was in use at once, is given back when it has been idle for 3 s.
void release_memory(void* memory, std::size_t bytes) noexcept;

// What the thread that gives memory back calls at its start: such as to run where it may, as it
// begins with what may be used by the thread that made it.
void call_in_watcher(void (*function)() noexcept) noexcept;

// Gives back at once all that is kept for later calls, malloc's own free pages included (glibc).
// Returns how many bytes were kept.
std::size_t release_idle_memory();

}  // namespace pyrnn
