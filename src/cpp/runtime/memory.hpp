// Memory that is used again. A call's buffers are of the sizes of the call's before, or somewhat
// smaller or larger where sequences differ in length; giving them back to the system each time
// would cost a page fault for every 4 KiB of the next call, and malloc takes long to find small
// aligned blocks. A large buffer takes the least block that is kept of its size to twice its size.
#pragma once

#include <cstddef>

namespace pyrnn {

// 64-byte aligned memory of at least `bytes`; throws std::bad_alloc.
void* acquire_memory(std::size_t bytes);
// Takes back what `acquire_memory(bytes)` gave. Up to 129 MiB are kept for later calls, or as much
// as was in use at once, of which what nobody has taken for half a minute is given back later.
void release_memory(void* memory, std::size_t bytes) noexcept;

}  // namespace pyrnn
