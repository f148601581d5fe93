// Checks of arguments, made in every call, that would take too long in Python.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"

namespace pyrnn {
namespace {

bool is_live(const py::array& array) { return is_dense(array.flags(), true); }

// Where an array's numbers lie, if it is dense.
struct Extent {
  std::uintptr_t begin, end;
  bool changed;  // whether it is a parameter
};

Extent extent_of(const py::array& array, bool changed) {
  const auto begin = reinterpret_cast<std::uintptr_t>(array.data());
  return {begin, begin + static_cast<std::uintptr_t>(array.nbytes()), changed};
}

// Whether nothing that is changed lies in another's memory; what is only read may be shared.
bool apart(std::vector<Extent>& extents) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  std::uintptr_t end_of_changed = 0, end_of_all = 0;
  for (const Extent& extent : extents) {
    if (extent.begin == extent.end) continue;
    if (extent.begin < (extent.changed ? end_of_all : end_of_changed)) return false;
    end_of_all = std::max(end_of_all, extent.end);
    if (extent.changed) end_of_changed = std::max(end_of_changed, extent.end);
  }
  return true;
}

// Whether all are float32 or float64 arrays that can be changed in place, and each of the second
// list, which may be the first, has the dtype and the shape of its partner there. No array of the
// first shares memory with another one.
bool fit(const py::list& parameters, const py::list& gradients) {
  if (parameters.size() != gradients.size()) return false;
  const bool same = parameters.is(gradients);
  std::vector<Extent> extents;
  extents.reserve(2 * parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const py::handle first = parameters[i], second = gradients[i];
    if (!is_plain(first) || !is_plain(second)) return false;
    const auto parameter = py::reinterpret_borrow<py::array>(first);
    const auto gradient = py::reinterpret_borrow<py::array>(second);
    const bool is_float64 = holds(parameter, true);
    if (!holds(parameter, is_float64) || !holds(gradient, is_float64)) return false;
    if (!is_live(parameter) || !is_live(gradient)) return false;
    if (parameter.ndim() != gradient.ndim() ||
        !std::equal(parameter.shape(), parameter.shape() + parameter.ndim(), gradient.shape()))
      return false;
    extents.push_back(extent_of(parameter, true));
    if (!same) extents.push_back(extent_of(gradient, false));
  }
  return apart(extents);
}

}  // namespace

void bind_checks(py::module_& module) {
  module.def("all_below", &all_below, py::arg("indices").noconvert(), py::arg("count"));
  module.def("fit", &fit, py::arg("parameters"), py::arg("gradients"));
}

}  // namespace pyrnn
