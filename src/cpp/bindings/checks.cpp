// Questions about arguments that Python asks in every call, and would take microseconds to answer.
#include <algorithm>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"

namespace pyrnn {
namespace {

// Whether all are in [0, count). Without a sign, what is less than 0 is more than any count.
bool all_below(const IndexArray& indices, std::uint64_t count) {
  std::uint64_t largest = 0;
  const std::int64_t* const data = indices.data();
  for (Size i = 0; i < indices.size(); ++i)
    largest = std::max(largest, static_cast<std::uint64_t>(data[i]));
  return largest < count || indices.size() == 0;
}

bool is_float(const py::array& array) {
  return py::isinstance<py::array_t<float>>(array) || py::isinstance<py::array_t<double>>(array);
}

bool is_live(const py::array& array) {
  constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ |
                         py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                         py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return (array.flags() & wanted) == wanted;
}

bool are_alike(const py::array& one, const py::array& other) {
  return one.dtype().num() == other.dtype().num() && one.ndim() == other.ndim() &&
         std::equal(one.shape(), one.shape() + one.ndim(), other.shape());
}

// Whether all are float32 or float64 arrays that can be changed in place, and each of the second
// list has the dtype and the shape of its partner in the first.
bool fit(const py::list& parameters, const py::list& gradients) {
  if (parameters.size() != gradients.size()) return false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const py::handle first = parameters[i], second = gradients[i];
    if (!py::isinstance<py::array>(first) || !py::isinstance<py::array>(second)) return false;
    const auto parameter = py::reinterpret_borrow<py::array>(first);
    const auto gradient = py::reinterpret_borrow<py::array>(second);
    if (!is_float(parameter) || !is_float(gradient) || !is_live(parameter) || !is_live(gradient) ||
        !are_alike(parameter, gradient))
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
