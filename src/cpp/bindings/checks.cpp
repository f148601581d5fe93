// Questions about arguments that Python asks in every call, and would take microseconds to answer.
#include <algorithm>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"

namespace pyrnn {
namespace {

// Whether all are in [0, count): neither an index nor what is left of count - 1 beyond it has a
// sign. The compiler makes vectors of this, but not of comparisons.
bool all_below(const IndexArray& indices, Size count) {
  const auto last = static_cast<std::uint64_t>(count) - 1;
  const std::int64_t* const data = indices.data();
  const Size size = indices.size();
  std::uint64_t signs = 0;
  for (Size i = 0; i < size; ++i) {
    const auto index = static_cast<std::uint64_t>(data[i]);
    signs |= index | (last - index);
  }
  return static_cast<std::int64_t>(signs) >= 0;
}

bool is_live(const py::array& array) { return is_dense(array.flags(), true); }

// Whether all are float32 or float64 arrays that can be changed in place, and each of the second
// list has the dtype and the shape of its partner in the first.
bool fit(const py::list& parameters, const py::list& gradients) {
  if (parameters.size() != gradients.size()) return false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const py::handle first = parameters[i], second = gradients[i];
    if (!py::isinstance<py::array>(first) || !py::isinstance<py::array>(second)) return false;
    const auto parameter = py::reinterpret_borrow<py::array>(first);
    const auto gradient = py::reinterpret_borrow<py::array>(second);
    const bool is_float64 = holds(parameter, true);
    if (!holds(parameter, is_float64) || !holds(gradient, is_float64)) return false;
    if (!is_live(parameter) || !is_live(gradient)) return false;
    if (!std::equal(parameter.shape(), parameter.shape() + parameter.ndim(), gradient.shape(),
                    gradient.shape() + gradient.ndim()))
      return false;
  }
  return true;
}

}  // namespace

void bind_checks(py::module_& module) {
  module.def("all_below", &all_below, py::arg("indices").noconvert(), py::arg("count"));
  module.def("fit", &fit, py::arg("parameters"), py::arg("gradients"));
}

}  // namespace pyrnn
