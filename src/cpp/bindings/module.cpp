// The compiled module: a list of what is bound.
#include <pybind11/numpy.h>

#include "bindings/bindings.hpp"
#include "bindings/python/gil.hpp"
#include "runtime/memory/memory.hpp"

namespace {

// What is made at first use is made now: a fork amid it would leave it locked in the child.
void make_statics() {
  pybind11::detail::npy_api::get();
  pyrnn::release_memory(pyrnn::acquire_memory(1), 1);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of pyrnn; use the pyrnn package.";
  make_statics();
  pyrnn::find_main_thread();
  pyrnn::bind_info(module);
  pyrnn::bind_recurrent(module);
  pyrnn::bind_streams(module);
  pyrnn::bind_dense(module);
  pyrnn::bind_optimizers(module);
  pyrnn::bind_functions(module);
  pyrnn::bind_checks(module);
}
