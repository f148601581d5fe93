// A cell's parameters by name: where each belongs in the runtime's records.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernel_table.hpp"

namespace pyrnn {

// Positions among `ParameterPointers`; parameters that act on units come last.
namespace positions {
constexpr int weight_ih = 0, weight_hh = 1, weight_hr = 2, bias_ih = 3, bias_hh = 4, unit = 5;
constexpr int count = unit + max_unit_parameters;
}  // namespace positions

// Calls visit(name, position) for all parameters that a cell can have; a projection is possible for
// any as far as the core is concerned. A bias may be a parameter that acts on units.
template <class Visit>
void each_parameter(const CellShape& shape, const Visit& visit) {
  const auto acts_on_units = [&](const std::string& name) {
    for (const UnitParameter& parameter : shape.unit_parameters)
      if (parameter.blocks > 0 && name == parameter.name) return true;
    return false;
  };
  const auto of_product = [&](const char* name, int position) {
    if (!acts_on_units(name)) visit(name, position);
  };
  of_product("weight_ih", positions::weight_ih);
  if (shape.has_hidden()) of_product("weight_hh", positions::weight_hh);
  of_product("bias_ih", positions::bias_ih);
  if (shape.has_hidden()) of_product("bias_hh", positions::bias_hh);
  of_product("weight_hr", positions::weight_hr);
  for (int i = 0; i < max_unit_parameters; ++i)
    if (shape.unit_parameters[i].blocks > 0)
      visit(shape.unit_parameters[i].name, positions::unit + i);
}

inline int position_of(const CellShape& shape, const std::string& name) {
  int found = -1;
  each_parameter(shape, [&](const char* other, int position) {
    if (name == other) found = position;
  });
  if (found < 0) throw std::invalid_argument("unknown parameter '" + name + "'");
  return found;
}

// Numbers of a parameter; `output` is the size of h.
inline Size size_of_parameter(const CellShape& shape, int position, Size input, Size hidden,
                              Size output) {
  const Size rows = shape.gates * hidden;
  switch (position) {
    case positions::weight_ih: return rows * input;
    case positions::weight_hh: return rows * output;
    case positions::weight_hr: return output * hidden;
    case positions::bias_ih:
    case positions::bias_hh: return rows;
    default: return shape.unit_parameters[position - positions::unit].blocks * hidden;
  }
}

// One array for each parameter that a cell has: P is `const T*` or `T*`.
template <class P>
struct ParameterPointers {
  P by_position[positions::count] = {};

  template <class Record>
  Record as() const {
    Record record;
    record.weight_ih = by_position[positions::weight_ih];
    record.weight_hh = by_position[positions::weight_hh];
    record.weight_hr = by_position[positions::weight_hr];
    record.bias_ih = by_position[positions::bias_ih];
    record.bias_hh = by_position[positions::bias_hh];
    std::copy(by_position + positions::unit, by_position + positions::count, record.unit);
    return record;
  }
};

// What its gradient has to know of a parameter.
struct Parameter {
  pybind11::str name;  // of the gradient
  std::vector<Size> shape;
  int position;
};

}  // namespace pyrnn
