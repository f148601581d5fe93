// Half-open ranges, and their split over threads.
#pragma once

#include <algorithm>

#include "kernel_table.hpp"

namespace pyrnn {

struct Range {
  Size begin, end;
  Size size() const { return end - begin; }
};

// The numbers of some blocks, as far as there are any.
inline Range within(Range blocks, Size block, Size count) {
  return {std::min(blocks.begin * block, count), std::min(blocks.end * block, count)};
}

// Range `index` of `ways` nearly equal ones of [0, count), in multiples of `unit`.
inline Range split(Size count, int ways, int index, Size unit = 1) {
  const Size units = quotient_up(count, unit);
  return {std::min(count, units * index / ways * unit),
          std::min(count, units * (index + 1) / ways * unit)};
}

}  // namespace pyrnn
