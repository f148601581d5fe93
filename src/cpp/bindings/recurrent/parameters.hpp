// A cell's parameters by name: where each belongs in the runtime's records.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernel_table.hpp"

namespace pyrnn {

// Places among `ParameterPointers`; parameters that act on units come last.
namespace places {
constexpr int weight_ih = 0, weight_hh = 1, weight_hr = 2, bias_ih = 3, bias_hh = 4, unit = 5;
constexpr int count = unit + max_unit_parameters;
}  // namespace places

// A bias may be a parameter that acts on units.
inline int place_of(const CellShape& shape, const std::string& name) {
  for (int i = 0; i < max_unit_parameters; ++i)
    if (shape.unit_parameters[i].blocks > 0 && name == shape.unit_parameters[i].name)
      return places::unit + i;
  if (name == "weight_ih") return places::weight_ih;
  if (name == "weight_hh" && shape.has_hidden()) return places::weight_hh;
  if (name == "weight_hr") return places::weight_hr;
  if (name == "bias_ih") return places::bias_ih;
  if (name == "bias_hh" && shape.has_hidden()) return places::bias_hh;
  throw std::invalid_argument("unknown parameter '" + name + "'");
}

// One array for each parameter that a cell has: P is `const T*` or `T*`.
template <class P>
struct ParameterPointers {
  P at[places::count] = {};

  template <class Record>
  Record as() const {
    Record record;
    record.weight_ih = at[places::weight_ih];
    record.weight_hh = at[places::weight_hh];
    record.weight_hr = at[places::weight_hr];
    record.bias_ih = at[places::bias_ih];
    record.bias_hh = at[places::bias_hh];
    std::copy(at + places::unit, at + places::count, record.unit);
    return record;
  }
};

// What its gradient has to know of a parameter.
struct Parameter {
  pybind11::str name;  // of the gradient
  std::vector<Size> shape;
  int place;
};

}  // namespace pyrnn
