// The vector functions on arrays, so that they can be tested: for subnormal numbers too, which are
// not flushed here.
#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "runtime/machine/dispatch.hpp"

namespace pyrnn {
namespace {

template <class T>
void bind_function(py::module_& module, const char* name,
                   void (*Kernels<T>::*function)(const T*, T*, Size)) {
  module.def(name, [function](const Dense<T>& x) {
    py::array_t<T> y(py::array::ShapeContainer(x.shape(), x.shape() + x.ndim()));
    (kernels_of<T>(active_table()).*function)(x.data(), y.mutable_data(), x.size());
    return y;
  });
}

template <class T>
void bind_all(py::module_& module) {
  bind_function<T>(module, "exp", &Kernels<T>::exp);
  bind_function<T>(module, "tanh", &Kernels<T>::tanh);
  bind_function<T>(module, "sigmoid", &Kernels<T>::sigmoid);
  bind_function<T>(module, "sqrt", &Kernels<T>::sqrt);
}

}  // namespace

void bind_functions(py::module_& module) {
  py::module_ f32 = module.def_submodule("functions_float32");
  py::module_ f64 = module.def_submodule("functions_float64");
  bind_all<float>(f32);
  bind_all<double>(f64);
}

}  // namespace pyrnn
