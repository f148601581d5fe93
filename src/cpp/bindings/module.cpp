// The compiled module: a list of what is bound.
#include <exception>
#include <new>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/gil.hpp"
#include "runtime/cores/placement.hpp"
#include "runtime/memory/memory.hpp"

namespace {

// What is made at first use is made now: a fork while it is being made would leave it locked in the
// child.
void make_statics() {
  pyrnn::dtype_of<float>();
  pyrnn::dtype_of<double>();
  pyrnn::release_memory(pyrnn::acquire_memory(1), 1);
}

// Instead of the name of a C++ class, where it is not known how many bytes were wanted.
void translate_bad_alloc(std::exception_ptr thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const pyrnn::OutOfMemory&) {
    throw;  // to the usual translator, with the exception's own message
  } catch (const std::bad_alloc&) {
    PyErr_SetString(PyExc_MemoryError, "no memory is left");
  }
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of pyrnn; use the pyrnn package.";
  pybind11::register_local_exception_translator(&translate_bad_alloc);
  make_statics();
  pyrnn::call_in_watcher(&pyrnn::run_where_the_program_may);
  pyrnn::find_main_thread();
  pyrnn::bind_info(module);
  pyrnn::bind_recurrent(module);
  pyrnn::bind_streams(module);
  pyrnn::bind_one_steps(module);
  pyrnn::bind_dense(module);
  pyrnn::bind_convolution(module);
  pyrnn::bind_optimizers(module);
  pyrnn::bind_rounded_lstm(module);
  pyrnn::bind_functions(module);
  pyrnn::bind_checks(module);
  pyrnn::bind_shortcuts(module);
}
