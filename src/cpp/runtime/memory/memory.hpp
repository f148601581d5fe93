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
// Takes back the memory of `acquire_memory(bytes)`. Up to 17 MiB are kept for later calls; more, up
// to what was in use at once, is kept too, but returned to the system when idle for 3 s.
void release_memory(void* memory, std::size_t bytes) noexcept;

// What the thread that returns memory calls at its start: for example to run on any processor, as
// it inherits the allowed processors of the thread that made it.
void call_in_watcher(void (*function)() noexcept) noexcept;

// Returns at once all memory that is kept for later calls, malloc's free pages included (glibc).
// Returns how many bytes were kept.
std::size_t release_idle_memory();

}  // namespace pyrnn
