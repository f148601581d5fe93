#include "runtime/threads/fork.hpp"

#include <pthread.h>

namespace pyrnn {
namespace {

std::atomic<unsigned> forks{0};

// Registered while the library is loaded: if it were at first use, a fork could interrupt it.
[[maybe_unused]] const int counted = pthread_atfork(nullptr, nullptr, [] { ++forks; });

}  // namespace

unsigned fork_generation() noexcept { return forks.load(std::memory_order_relaxed); }

}  // namespace pyrnn
