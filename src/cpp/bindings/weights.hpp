// A cell's weights as Python hands them over: packed for the way forward when first used, for the
// way back when first kept.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bindings/arrays.hpp"
#include "runtime/cell_weights.hpp"
#include "runtime/dispatch.hpp"

namespace pyrnn {

inline CellIndex cell_index(const std::string& name) {
  for (int i = 0; i < static_cast<int>(CellIndex::count); ++i) {
    if (name == active_table().f32.cells[i].shape.name) return static_cast<CellIndex>(i);
  }
  throw std::invalid_argument("unknown cell '" + name + "'");
}

template <class T>
struct Weights {
  std::string cell;
  Dense<T> weight_ih, weight_hh;
  std::optional<Dense<T>> bias_ih, bias_hh;
  std::shared_ptr<const CellWeights<T>> inference, training;

  Weights(const std::string& name, const Dense<T>& w_ih, const Dense<T>& w_hh,
          const std::optional<Dense<T>>& b_ih, const std::optional<Dense<T>>& b_hh)
      : cell(name), weight_ih(w_ih), weight_hh(w_hh), bias_ih(b_ih), bias_hh(b_hh) {
    require(w_ih.ndim() == 2 && w_hh.ndim() == 2 && w_ih.shape(0) == w_hh.shape(0),
            "weights: shapes");
    require(b_ih.has_value() == b_hh.has_value(), "weights: both biases, or none");
  }

  bool has_bias() const { return bias_ih.has_value(); }

  std::shared_ptr<const CellWeights<T>> packed(bool keep) {
    auto& wanted = keep ? training : inference;
    if (wanted == nullptr) {
      const CellSizes<T> sizes(kernels_of<T>(active_table()), cell_index(cell), weight_ih.shape(1),
                               weight_hh.shape(1));
      const CellParameters<T> parameters{weight_ih.data(), weight_hh.data(),
                                         bias_ih ? bias_ih->data() : nullptr,
                                         bias_hh ? bias_hh->data() : nullptr};
      std::shared_ptr<const CellWeights<T>> fresh;
      {
        const py::gil_scoped_release release;
        fresh = std::make_shared<const CellWeights<T>>(sizes, parameters, keep);
      }
      // Another thread may have been as far in the meantime, with the same result.
      if (wanted == nullptr) wanted = fresh;
    }
    return wanted;
  }
};

}  // namespace pyrnn
