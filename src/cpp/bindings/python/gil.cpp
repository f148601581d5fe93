#include "bindings/python/gil.hpp"

#include <pthread.h>
#include <unistd.h>

#include <exception>

namespace pyrnn {
namespace {

namespace py = pybind11;

pthread_t main_thread{};
bool knows_main_thread = false;

// In a forked child, it is the thread that forked.
[[maybe_unused]] const int followed =
    pthread_atfork(nullptr, nullptr, [] { main_thread = pthread_self(); });

bool is_main_thread() {
  return knows_main_thread && pthread_equal(main_thread, pthread_self()) != 0;
}

void take_gil(PyThreadState* thread) noexcept {
  try {
    PyEval_RestoreThread(thread);
  } catch (...) {  // the unwinding with which Python ends a thread
    rest();
  }
}

}  // namespace

void rest() noexcept {
  while (true) pause();
}

void find_main_thread() {
  const auto ident = py::module_::import("threading").attr("main_thread")().attr("ident");
  // pthread_t is a number or a pointer, and Python's identity of a thread the same as a number.
  main_thread = (pthread_t)ident.cast<unsigned long>();
  knows_main_thread = true;
}

WithoutGil::WithoutGil(Signals signals)
    : thread_(PyEval_SaveThread()),
      interrupts_(signals == Signals::end_the_call && is_main_thread()
                      ? Question{run_handlers, this}
                      : Question{}) {}

WithoutGil::~WithoutGil() { take_gil(thread_); }

void WithoutGil::run_handlers(void* self) {
  auto& own = *static_cast<WithoutGil*>(self);
  take_gil(own.thread_);
  std::exception_ptr raised;
  if (PyErr_CheckSignals() != 0) raised = std::make_exception_ptr(py::error_already_set());
  own.thread_ = PyEval_SaveThread();
  if (raised) std::rethrow_exception(raised);
}

}  // namespace pyrnn
