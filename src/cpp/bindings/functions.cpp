// Functions of each element of an array. The plain ones do not flush subnormal numbers; activations
// of layers do, as everything in layers does.
#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "runtime/dense/activation.hpp"
#include "runtime/machine/dispatch.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// An array of y = f(x), where function(x, y, n) computes some of them. A long call ends at a
// signal.
template <class T, class Function>
py::array_t<T> each_element(const Dense<T>& x, const Function& function) {
  constexpr Size unit = 64;
  py::array_t<T> y(py::array::ShapeContainer(x.shape(), x.shape() + x.ndim()));
  const T* const from = x.data();
  T* const to = y.mutable_data();
  const Size n = x.size();
  const WithoutGil release;
  in_pieces(Range{0, n}, tuning::products_of_an_exponential, unit,
            [&](Range some) { function(from + some.begin, to + some.begin, some.size()); });
  return y;
}

template <class T>
void bind_function(py::module_& module, const char* name,
                   void (*Kernels<T>::*function)(const T*, T*, Size)) {
  module.def(name, [function](const Dense<T>& x) {
    return each_element<T>(x, kernels_of<T>(active_table()).*function);
  });
}

template <class T>
py::array_t<T> softplus(const Dense<T>& x) {
  return each_element<T>(x, [](const T* from, T* to, Size n) {
    kernels_of<T>(active_table()).activation({Function::softplus}, from, to, n);
  });
}

template <class T>
Activation<T> activation_at(int function, T alpha, T beta) {
  require(function >= 0 && function < function_count, "activation: function");
  return {static_cast<Function>(function), alpha, beta};
}

template <class T>
py::array_t<T> activation_of(int function, T alpha, T beta, const Dense<T>& x) {
  require(x.ndim() == 1, "activation: expected one axis");
  const Activation<T> f = activation_at(function, alpha, beta);
  auto y = empty<T>({x.size()});
  T* const out = y.mutable_data();
  const Computing computing;
  activation(kernels_of<T>(active_table()), f, x.data(), out, x.size());
  return y;
}

template <class T>
py::array_t<T> activation_backward_of(int function, T alpha, T beta, const Dense<T>& x,
                                      const Dense<T>& dy) {
  require(x.ndim() == 1 && dy.ndim() == 1 && x.size() == dy.size(), "activation: shapes");
  const Activation<T> f = activation_at(function, alpha, beta);
  auto dx = empty<T>({x.size()});
  T* const out = dx.mutable_data();
  const Computing computing;
  activation_backward(kernels_of<T>(active_table()), f, x.data(), dy.data(), out, x.size());
  return dx;
}

template <class T>
void bind_all(py::module_& module) {
  bind_function<T>(module, "exp", &Kernels<T>::exp);
  bind_function<T>(module, "log", &Kernels<T>::log);
  bind_function<T>(module, "tanh", &Kernels<T>::tanh);
  bind_function<T>(module, "sigmoid", &Kernels<T>::sigmoid);
  bind_function<T>(module, "sqrt", &Kernels<T>::sqrt);
  module.def("softplus", &softplus<T>);
  module.def("activation", &activation_of<T>);
  module.def("activation_backward", &activation_backward_of<T>);
}

}  // namespace

void bind_functions(py::module_& module) {
  py::module_ f32 = module.def_submodule("functions_float32");
  py::module_ f64 = module.def_submodule("functions_float64");
  bind_all<float>(f32);
  bind_all<double>(f64);
}

}  // namespace pyrnn
