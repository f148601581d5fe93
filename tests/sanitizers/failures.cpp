// Loaded before all other libraries: fails those allocations and starts of threads that a test
// asks for. Of malloc and its like it counts only what the core and NumPy ask for, as the rest is
// the interpreter's; `new` and aligned memory whoever asks, which is the core and its runtime.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

// Things of one kind, counted since they were armed; those from `first` to `last` fail.
struct Chosen {
  std::atomic<bool> armed{false};
  std::atomic<long> count{0}, first{0}, last{0};

  bool fails() {
    if (!armed) return false;
    const long number = ++count;
    return number >= first && number <= last;
  }
  void arm(long from, long to) {
    armed = false;
    count = 0;
    first = from;
    last = to;
    armed = true;
  }
  long disarm() {
    armed = false;
    return count;
  }
};

Chosen allocations, threads;

// Where the code of the core and of NumPy's arrays lies.
struct Code {
  std::uintptr_t begin, end;
};
Code codes[8];
int code_count = 0;

int note_code(dl_phdr_info* info, std::size_t, void*) {
  if (std::strstr(info->dlpi_name, "/_core.") == nullptr &&
      std::strstr(info->dlpi_name, "/_multiarray_umath.") == nullptr)
    return 0;
  for (int i = 0; i < info->dlpi_phnum && code_count < 8; ++i) {
    const ElfW(Phdr) & part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    const std::uintptr_t begin = info->dlpi_addr + part.p_vaddr;
    codes[code_count++] = {begin, begin + part.p_memsz};
  }
  return 0;
}

bool is_ours(const void* caller) {
  const auto at = reinterpret_cast<std::uintptr_t>(caller);
  for (int i = 0; i < code_count; ++i)
    if (at >= codes[i].begin && at < codes[i].end) return true;
  return false;
}

void* new_memory(std::size_t bytes, std::size_t alignment) {
  void* const memory = allocations.fails() ? nullptr : __libc_memalign(alignment, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

extern "C" {

// Fails allocations of these numbers, counted from 1, until disarmed.
void arm_allocations(long first, long last) {
  code_count = 0;
  dl_iterate_phdr(note_code, nullptr);
  allocations.arm(first, last);
}
// How many there were
long disarm_allocations() { return allocations.disarm(); }

void arm_threads(long first, long last) { threads.arm(first, last); }
long disarm_threads() { return threads.disarm(); }

void* malloc(std::size_t bytes) {
  if (is_ours(__builtin_return_address(0)) && allocations.fails()) return nullptr;
  return __libc_malloc(bytes);
}

void* calloc(std::size_t count, std::size_t bytes) {
  if (is_ours(__builtin_return_address(0)) && allocations.fails()) return nullptr;
  return __libc_calloc(count, bytes);
}

void* realloc(void* memory, std::size_t bytes) {
  if (is_ours(__builtin_return_address(0)) && allocations.fails()) return nullptr;
  return __libc_realloc(memory, bytes);
}

int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  *memory = allocations.fails() ? nullptr : __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return allocations.fails() ? nullptr : __libc_memalign(alignment, bytes);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return threads.fails() ? EAGAIN : create(thread, attributes, start, argument);
}

}  // extern "C"

// The library's other forms call these.
void* operator new(std::size_t bytes) { return new_memory(bytes, 16); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return new_memory(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
