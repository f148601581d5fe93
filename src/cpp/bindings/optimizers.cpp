// Optimisers' steps, in place on all parameters at once, and what is done to gradients as a whole.
#include <pybind11/stl.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "runtime/optimizers/operands.hpp"

namespace pyrnn {
namespace {

using Arrays = std::vector<py::array>;

// One argument: an array of each parameter.
struct List {
  const Arrays* arrays;
  bool written = true;
};

// Arrays of each parameter side by side: dense, alike, and such as can be changed in place.
std::vector<Operands> operands_of(std::initializer_list<List> lists) {
  const Arrays& first = *lists.begin()->arrays;
  std::vector<Operands> all(first.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    Operands& operands = all[i];
    operands.size = first[i].size();
    operands.is_float64 = holds(first[i], true);
    std::size_t index = 0;
    for (const List& list : lists) {
      require(list.arrays->size() == all.size(), "expected as many arrays of each kind");
      const py::array& array = (*list.arrays)[i];
      require(holds(array, operands.is_float64), "expected float32 or float64, alike");
      require(array.size() == operands.size, "expected arrays of one size");
      require((array.flags() & py::array::c_style) != 0, "expected C-contiguous arrays");
      require(!list.written || array.writeable(), "expected writeable arrays");
      operands.arrays[index++] = const_cast<void*>(array.data());
    }
  }
  return all;
}

// Goes through all lists together, without the GIL. It always runs to the end: a step that has
// changed only some of the numbers could not be continued.
template <class Step>
void go_through(std::initializer_list<List> lists, const Step& step) {
  const std::vector<Operands> all = operands_of(lists);
  const Computing computing(Signals::wait);
  each_operand(all, step);
}

// float or double, from the arrays of an operand
template <class Pointers>
using Number = std::remove_pointer_t<typename std::decay_t<Pointers>::value_type>;

void sgd(const Arrays& parameters, const Arrays& gradients, const std::optional<Arrays>& velocities,
         double lr, double momentum, bool nesterov, double weight_decay) {
  const auto step = [=](const auto& kernels, const auto& p, Size n) {
    using T = Number<decltype(p)>;
    kernels.sgd(p[0], p[1], p[2], static_cast<T>(lr), static_cast<T>(momentum), nesterov,
                static_cast<T>(weight_decay), n);
  };
  if (velocities) {
    go_through({{&parameters}, {&gradients, false}, {&*velocities}}, step);
  } else {
    go_through({{&parameters}, {&gradients, false}}, step);
  }
}

void adagrad(const Arrays& parameters, const Arrays& gradients, const Arrays& squares, double lr,
             double eps, double weight_decay) {
  go_through({{&parameters}, {&gradients, false}, {&squares}},
             [=](const auto& kernels, const auto& p, Size n) {
               using T = Number<decltype(p)>;
               kernels.adagrad(p[0], p[1], p[2], static_cast<T>(lr), static_cast<T>(eps),
                               static_cast<T>(weight_decay), n);
             });
}

void rmsprop(const Arrays& parameters, const Arrays& gradients, const Arrays& squares, double lr,
             double alpha, double eps, double weight_decay) {
  go_through({{&parameters}, {&gradients, false}, {&squares}},
             [=](const auto& kernels, const auto& p, Size n) {
               using T = Number<decltype(p)>;
               kernels.rmsprop(p[0], p[1], p[2], static_cast<T>(lr), static_cast<T>(alpha),
                               static_cast<T>(1 - alpha), static_cast<T>(eps),
                               static_cast<T>(weight_decay), n);
             });
}

// 1 - beta^step, the power rounded correctly: C libraries differ in its last bit, which counts
// where beta is all but 1. Each power is two numbers, of which the second has what the first lost.
double one_less_power(double beta, double step) {
  struct Wide {
    double high, low;
  };
  const auto multiply = [](Wide a, Wide b) {
    const double product = a.high * b.high;
    const double lost = std::fma(a.high, b.high, -product) + (a.high * b.low + a.low * b.high);
    const double high = product + lost;
    return Wide{high, lost - (high - product)};
  };
  Wide power{1, 0}, square{beta, 0};
  for (auto left = static_cast<std::uint64_t>(step); left > 0; left /= 2) {
    if (left % 2 == 1) power = multiply(power, square);
    square = multiply(square, square);
  }
  return 1 - (power.high + power.low);
}

void adam(const Arrays& parameters, const Arrays& gradients, const Arrays& means,
          const Arrays& squares, double lr, double beta1, double beta2, double eps,
          double weight_decay, bool decoupled, double step) {
  const double step_size = lr / one_less_power(beta1, step);
  const double unit_root = 1 / std::sqrt(one_less_power(beta2, step));
  go_through({{&parameters}, {&gradients, false}, {&means}, {&squares}},
             [=](const auto& kernels, const auto& p, Size n) {
               using T = Number<decltype(p)>;
               Adam<T> adam{};
               adam.beta1 = static_cast<T>(beta1);
               adam.fresh1 = static_cast<T>(1 - beta1);
               adam.beta2 = static_cast<T>(beta2);
               adam.fresh2 = static_cast<T>(1 - beta2);
               adam.step = static_cast<T>(step_size);
               adam.unit_root = static_cast<T>(unit_root);
               adam.eps = static_cast<T>(eps);
               adam.weight_decay = static_cast<T>(decoupled ? 0 : weight_decay);
               adam.shrink = static_cast<T>(decoupled ? 1 - lr * weight_decay : 1);
               kernels.adam(p[0], p[1], p[2], p[3], adam, n);
             });
}

double norm_of(const Arrays& arrays) {
  const std::vector<Operands> all = operands_of({{&arrays, false}});
  const Computing computing;
  return norm(all);
}

// The factors of a number, none of them subnormal, since subnormal numbers would count as zero.
template <class T>
std::vector<T> normal_factors(double factor) {
  constexpr double least = std::numeric_limits<T>::min();
  std::vector<T> factors;
  for (; factor != 0 && std::abs(factor) < least; factor /= least)
    factors.push_back(static_cast<T>(least));
  factors.push_back(static_cast<T>(factor));
  return factors;
}

void scale(const Arrays& arrays, double factor) {
  const auto of_float = normal_factors<float>(factor);
  const auto of_double = normal_factors<double>(factor);
  go_through({{&arrays}}, [&](const auto& kernels, const auto& p, Size n) {
    if constexpr (std::is_same_v<Number<decltype(p)>, float>) {
      for (const float each : of_float) kernels.scale(p[0], each, n);
    } else {
      for (const double each : of_double) kernels.scale(p[0], each, n);
    }
  });
}

void clip(const Arrays& arrays, double limit) {
  go_through({{&arrays}}, [=](const auto& kernels, const auto& p, Size n) {
    kernels.clip(p[0], static_cast<Number<decltype(p)>>(limit), n);
  });
}

}  // namespace

void bind_optimizers(py::module_& module) {
  module.def("sgd", &sgd, py::arg("parameters"), py::arg("gradients"), py::arg("velocities"),
             py::arg("lr"), py::arg("momentum"), py::arg("nesterov"), py::arg("weight_decay"));
  module.def("adagrad", &adagrad, py::arg("parameters"), py::arg("gradients"), py::arg("squares"),
             py::arg("lr"), py::arg("eps"), py::arg("weight_decay"));
  module.def("rmsprop", &rmsprop, py::arg("parameters"), py::arg("gradients"), py::arg("squares"),
             py::arg("lr"), py::arg("alpha"), py::arg("eps"), py::arg("weight_decay"));
  module.def("adam", &adam, py::arg("parameters"), py::arg("gradients"), py::arg("means"),
             py::arg("squares"), py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"),
             py::arg("weight_decay"), py::arg("decoupled"), py::arg("step"));
  module.def("norm", &norm_of, py::arg("arrays"));
  module.def("scale", &scale, py::arg("arrays"), py::arg("factor"));
  module.def("clip", &clip, py::arg("arrays"), py::arg("limit"));
}

}  // namespace pyrnn
