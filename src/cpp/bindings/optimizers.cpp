// Optimisers' steps, in place on flat arrays, and what is done to gradients as a whole.
#include <pybind11/stl.h>

#include <cmath>
#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "runtime/dense.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/parallel.hpp"

namespace pyrnn {
namespace {

constexpr Size grain = 40'000;  // elements that pay for a thread
constexpr Size unit = 64;       // no two threads write to one cache line

// An array that is written in place: dense, or the caller's mistake.
template <class T>
T* in_place(py::array_t<T>& array) {
  require((array.flags() & py::array::c_style) != 0, "expected a C-contiguous array");
  return array.mutable_data();
}

// Calls step(range) over [0, n) on as many threads as pay, without the GIL.
template <class Step>
void spread(Size n, const Step& step) {
  const py::gil_scoped_release release;
  parallel_for(n, grain, unit, [&](Range part) { step(part.begin, part.size()); });
}

template <class T>
void bind_all(py::module_& module) {
  using InPlace = py::array_t<T>;
  const Kernels<T>& kernels = kernels_of<T>(active_table());

  module.def(
      "sgd",
      [&kernels](InPlace p, const Dense<T>& g, std::optional<InPlace> velocity, T lr, T momentum,
                 bool nesterov, T weight_decay) {
        T *const to = in_place(p), *const v = velocity ? in_place(*velocity) : nullptr;
        const T* const from = g.data();
        spread(p.size(), [&](Size i, Size n) {
          kernels.sgd(to + i, from + i, v == nullptr ? nullptr : v + i, lr, momentum, nesterov,
                      weight_decay, n);
        });
      },
      py::arg("p").noconvert(), py::arg("g").noconvert(), py::arg("velocity").noconvert(),
      py::arg("lr"), py::arg("momentum"), py::arg("nesterov"), py::arg("weight_decay"));

  module.def(
      "adagrad",
      [&kernels](InPlace p, const Dense<T>& g, InPlace squares, T lr, T eps, T weight_decay) {
        T *const to = in_place(p), *const s = in_place(squares);
        const T* const from = g.data();
        spread(p.size(), [&](Size i, Size n) {
          kernels.adagrad(to + i, from + i, s + i, lr, eps, weight_decay, n);
        });
      },
      py::arg("p").noconvert(), py::arg("g").noconvert(), py::arg("squares").noconvert(),
      py::arg("lr"), py::arg("eps"), py::arg("weight_decay"));

  module.def(
      "rmsprop",
      [&kernels](InPlace p, const Dense<T>& g, InPlace squares, T lr, T alpha, T eps,
                 T weight_decay) {
        T *const to = in_place(p), *const s = in_place(squares);
        const T* const from = g.data();
        spread(p.size(), [&](Size i, Size n) {
          kernels.rmsprop(to + i, from + i, s + i, lr, alpha, eps, weight_decay, n);
        });
      },
      py::arg("p").noconvert(), py::arg("g").noconvert(), py::arg("squares").noconvert(),
      py::arg("lr"), py::arg("alpha"), py::arg("eps"), py::arg("weight_decay"));

  module.def(
      "adam",
      [&kernels](InPlace p, const Dense<T>& g, InPlace m, InPlace v, double lr, double beta1,
                 double beta2, double eps, double weight_decay, bool decoupled, int step) {
        T *const to = in_place(p), *const mean = in_place(m), *const square = in_place(v);
        const T* const from = g.data();
        Adam<T> adam{};
        adam.lr = static_cast<T>(lr);
        adam.beta1 = static_cast<T>(beta1);
        adam.beta2 = static_cast<T>(beta2);
        adam.eps = static_cast<T>(eps);
        adam.weight_decay = static_cast<T>(weight_decay);
        adam.correction1 = static_cast<T>(1 - std::pow(beta1, step));
        adam.correction2_sqrt = static_cast<T>(std::sqrt(1 - std::pow(beta2, step)));
        adam.decoupled = decoupled;
        spread(p.size(), [&](Size i, Size n) {
          kernels.adam(to + i, from + i, mean + i, square + i, adam, n);
        });
      },
      py::arg("p").noconvert(), py::arg("g").noconvert(), py::arg("m").noconvert(),
      py::arg("v").noconvert(), py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"),
      py::arg("weight_decay"), py::arg("decoupled"), py::arg("step"));

  module.def(
      "sum_of_squares",
      [&kernels](const Dense<T>& array) {
        const py::gil_scoped_release release;
        return sum_of_squares(kernels, array.data(), array.size());
      },
      py::arg("array").noconvert());

  module.def(
      "scale",
      [&kernels](InPlace array, T factor) {
        T* const x = in_place(array);
        spread(array.size(), [&](Size i, Size n) { kernels.scale(x + i, factor, n); });
      },
      py::arg("array").noconvert(), py::arg("factor"));

  module.def(
      "clip",
      [&kernels](InPlace array, T limit) {
        T* const x = in_place(array);
        spread(array.size(), [&](Size i, Size n) { kernels.clip(x + i, limit, n); });
      },
      py::arg("array").noconvert(), py::arg("limit"));
}

}  // namespace

void bind_optimizers(py::module_& module) {
  bind_all<float>(module);
  bind_all<double>(module);
}

}  // namespace pyrnn
