// Memory that is used again. A call's buffers are of the sizes of the call's before, or somewhat
// smaller or larger where sequences differ in length; giving them back to the system each time
// would cost a page fault for every 4 KiB of the next call, and malloc takes long to find small
// aligned blocks. A large buffer takes the least block that is kept of its size to twice its size.
#pragma once

#include <cstddef>

namespace pyrnn {

// 64-byte aligned memory of at least `bytes`; throws std::bad_alloc.
void* acquire_memory(std::size_t bytes);
// Takes back what `acquire_memory(bytes)` gave. Up to 17 MiB are kept for later calls; what a call
// used beyond them, at most what was in use at once, is given back when it has been idle for 3 s.
void release_memory(void* memory, std::size_t bytes) noexcept;

// Gives back at once all that is kept for later calls, malloc's own free pages included (glibc).
// Returns how many bytes were kept.
std::size_t release_idle_memory();

}  // namespace pyrnn
