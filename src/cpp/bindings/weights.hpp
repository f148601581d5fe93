// A cell's weights as Python hands them over: packed for the way forward when first used, for the
// way back when first kept.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "runtime/cell_weights.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/plan.hpp"
#include "runtime/thread_pool.hpp"

namespace pyrnn {

inline CellIndex cell_index(const std::string& name) {
  for (int i = 0; i < static_cast<int>(CellIndex::count); ++i) {
    if (name == active_table().f32.cells[i].shape.name) return static_cast<CellIndex>(i);
  }
  throw std::invalid_argument("unknown cell '" + name + "'");
}

// One array for each parameter that a cell has: P is `const T*` or `T*`.
template <class P>
struct ParameterPointers {
  P weight_ih = nullptr, weight_hh = nullptr, weight_hr = nullptr, bias_ih = nullptr,
    bias_hh = nullptr;
  P unit[max_unit_parameters] = {};

  // Where a parameter of that name belongs; a bias may be one that acts on units.
  P* find(const CellShape& shape, const std::string& name) {
    for (int i = 0; i < max_unit_parameters; ++i)
      if (shape.unit_parameters[i].blocks > 0 && name == shape.unit_parameters[i].name)
        return &unit[i];
    if (name == "weight_ih") return &weight_ih;
    if (name == "weight_hh" && shape.has_hidden()) return &weight_hh;
    if (name == "weight_hr") return &weight_hr;
    if (name == "bias_ih") return &bias_ih;
    if (name == "bias_hh" && shape.has_hidden()) return &bias_hh;
    return nullptr;
  }

  template <class Record>
  Record as() const {
    Record record;
    record.weight_ih = weight_ih;
    record.weight_hh = weight_hh;
    record.weight_hr = weight_hr;
    record.bias_ih = bias_ih;
    record.bias_hh = bias_hh;
    std::copy(unit, unit + max_unit_parameters, record.unit);
    return record;
  }
};

template <class T>
struct Weights {
  CellIndex cell;
  std::vector<std::pair<std::string, Dense<T>>> parameters;
  std::shared_ptr<const CellWeights<T>> inference, training;

  Weights(const std::string& name, const py::dict& arrays) : cell(cell_index(name)) {
    for (const auto& [key, array] : arrays)
      parameters.emplace_back(key.template cast<std::string>(), array.template cast<Dense<T>>());
    pointers();
    const CellShape& shape = this->shape();
    require(find("weight_ih") != nullptr && find("weight_ih")->ndim() == 2, "weight_ih: shape");
    require(find("weight_ih")->shape(0) % shape.gates == 0, "weight_ih: rows");
    const CellSizes<T> sizes = this->sizes();
    for (const auto& [key, array] : parameters)
      require(array.size() == expected_size(key, sizes), "parameters: shapes");
    require(!shape.has_hidden() || find("weight_hh") != nullptr, "weight_hh: missing");
  }

  const CellShape& shape() const {
    return kernels_of<T>(active_table()).cells[static_cast<int>(cell)].shape;
  }

  const Dense<T>* find(const std::string& name) const {
    for (const auto& [key, array] : parameters)
      if (key == name) return &array;
    return nullptr;
  }

  CellSizes<T> sizes() const {
    const Dense<T>& weight_ih = *find("weight_ih");
    const Dense<T>* const projection = find("weight_hr");
    const Size H = weight_ih.shape(0) / shape().gates;
    return {kernels_of<T>(active_table()),
            cell,
            weight_ih.shape(1),
            H,
            projection == nullptr ? H : projection->shape(0),
            projection != nullptr};
  }

  CellParameters<T> pointers() const {
    ParameterPointers<const T*> all;
    for (const auto& [key, array] : parameters) {
      const T** const to = all.find(shape(), key);
      if (to == nullptr) throw std::invalid_argument("unknown parameter '" + key + "'");
      *to = array.data();
    }
    return all.template as<CellParameters<T>>();
  }

  // For walks of so many sequences and steps.
  std::shared_ptr<const CellWeights<T>> packed(bool keep, Size batch_size = 1, Size steps = 1) {
    auto& wanted = keep ? training : inference;
    if (wanted == nullptr) {
      const CellSizes<T> sizes = this->sizes();
      const CellParameters<T> from = pointers();
      const Plan plan = make_plan(sizes, batch_size, steps, num_threads());
      std::shared_ptr<const CellWeights<T>> fresh;
      {
        const py::gil_scoped_release release;
        fresh = std::make_shared<const CellWeights<T>>(sizes, from, keep, plan.threads > 1);
      }
      // Another thread may have been as far in the meantime, with the same result.
      if (wanted == nullptr) wanted = fresh;
    }
    return wanted;
  }

 private:
  Size expected_size(const std::string& name, const CellSizes<T>& sizes) const {
    const Size H = sizes.hidden_size, rows = shape().gates * H;
    for (const UnitParameter& parameter : shape().unit_parameters)
      if (parameter.blocks > 0 && name == parameter.name) return parameter.blocks * H;
    if (name == "weight_ih") return rows * sizes.input_size;
    if (name == "weight_hh") return rows * sizes.output_size;
    if (name == "weight_hr") return sizes.output_size * H;
    return rows;
  }
};

}  // namespace pyrnn
