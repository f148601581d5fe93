// One-hot input: indices choose columns of weight_ih. Where they are few, the others need not be
// looked at: the columns that are chosen are packed alone, and the indices count among them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel_table.hpp"
#include "tuning.hpp"

namespace pyrnn {

// Whether so many indices are few enough: to look for a column takes longer than to pack the next.
constexpr bool few_indices(Size indices, Size columns) {
  return indices <= columns / tuning::columns_an_index;
}

// The distinct indices, ascending; each index, less than `columns`, becomes its position among
// them.
inline std::vector<Size> compact_indices(std::vector<std::int64_t>& indices, Size columns) {
  std::vector<Size> positions(static_cast<std::size_t>(columns), -1);
  for (const std::int64_t index : indices) positions[static_cast<std::size_t>(index)] = 0;
  std::vector<Size> chosen;
  for (Size column = 0; column < columns; ++column) {
    if (positions[static_cast<std::size_t>(column)] < 0) continue;
    positions[static_cast<std::size_t>(column)] = static_cast<Size>(chosen.size());
    chosen.push_back(column);
  }
  for (std::int64_t& index : indices) index = positions[static_cast<std::size_t>(index)];
  return chosen;
}

}  // namespace pyrnn
