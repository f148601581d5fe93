// The compiled module: a list of what is bound.
#include "bindings/bindings.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of pyrnn; use the pyrnn package.";
  pyrnn::bind_info(module);
  pyrnn::bind_recurrent(module);
  pyrnn::bind_streams(module);
  pyrnn::bind_dense(module);
  pyrnn::bind_optimizers(module);
  pyrnn::bind_functions(module);
  pyrnn::bind_checks(module);
}
