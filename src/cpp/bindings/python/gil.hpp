// Releases the GIL while the core computes, and takes it again afterwards.
#pragma once

#include <pybind11/pybind11.h>

#include "runtime/threads/interrupts.hpp"

namespace pyrnn {

// Whether a signal whose handler raises ends the call at once; else handlers wait for its end.
enum class Signals { end_the_call, wait };

// While it lives, other threads may have the interpreter. In Python's main thread, signal handlers
// run now and then meanwhile. A thread that would return while the interpreter is being finalised
// blocks here forever: Python would end it, and no function below may be left that way.
class WithoutGil {
 public:
  explicit WithoutGil(Signals signals = Signals::end_the_call);
  ~WithoutGil();
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  static void run_handlers(void* self);

  PyThreadState* thread_;
  InterruptScope interrupts_;
};

// Blocks this thread forever.
[[noreturn]] void rest() noexcept;

// Calls what runs Python, in which the interpreter may be taken down.
template <class Call>
auto or_rest(const Call& call) {
#ifdef __GLIBCXX__
  try {
    return call();
  } catch (const abi::__forced_unwind&) {
    rest();
  }
#else
  return call();
#endif
}

// To be called once, with the interpreter.
void find_main_thread();

}  // namespace pyrnn
