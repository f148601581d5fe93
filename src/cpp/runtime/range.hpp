// Half-open ranges, and their split over threads.
#pragma once

#include <algorithm>

#include "kernel_table.hpp"

namespace pyrnn {

struct Range {
  Size begin, end;
  Size size() const { return end - begin; }
};

// Part `index` of `parts` of [0, count), in multiples of `unit`.
inline Range part_of(Size count, int parts, int index, Size unit = 1) {
  const Size units = (count + unit - 1) / unit;
  return {std::min(count, units * index / parts * unit),
          std::min(count, units * (index + 1) / parts * unit)};
}

}  // namespace pyrnn
