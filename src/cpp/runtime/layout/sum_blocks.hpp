// How sums over rows are cut into blocks, and these into bundles: at the same rows whatever calls
// the sums are made in.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernel_table.hpp"

namespace pyrnn {

// The block that rows are being added to: how many it has, which of its bundle it is, and whether
// that bundle is the first one, the second or a later one.
struct OpenBlock {
  std::int16_t rows = 0;
  std::int8_t block = 0, bundle = 0;

  void end() {
    rows = 0;
    if (++block < blocks_together) return;
    block = 0;
    if (bundle < 2) ++bundle;
  }

  // Goes on by a step's rows.
  void add(Size step_rows) {
    const Size now = rows + step_rows;
    if (now > sum_block) return add(step_rows, [](OpenBlock, Size, bool) {});
    rows = static_cast<std::int16_t>(now);
    if (now > sum_block - step_rows && step_rows > 0) end();
  }

  // The same. Calls visit(before, rows, ends) for those of them that fall into
  // each block: what the block was before, and whether it ends there. A block ends when it is full,
  // and after a step if another one like it would not fit: so a block of steps that are equally
  // large is one of whole steps.
  template <class Visit>
  void add(Size step_rows, const Visit& visit) {
    for (Size left = step_rows; left > 0;) {
      const OpenBlock before = *this;
      const Size taken = std::min(left, sum_block - rows);
      left -= taken;
      const Size now = rows + taken;
      const bool ends = now == sum_block || (left == 0 && now > sum_block - step_rows);
      rows = static_cast<std::int16_t>(now);
      if (ends) end();
      visit(before, taken, ends);
    }
  }
};

}  // namespace pyrnn
