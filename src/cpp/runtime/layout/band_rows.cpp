#include "runtime/layout/band_rows.hpp"

#include <algorithm>

namespace pyrnn {

BandRows::BandRows(const Schedule& schedule, const Slices& slices, Range sequences, Range steps,
                   Size first_step, OpenBlock open) {
  for (std::vector<Size>* all : {&counts, &saved, &packed, &saved_before, &packed_before})
    all->reserve(static_cast<std::size_t>(steps.size()));
  blocks.reserve(4);
  BlockRows block{0, 0, open, false, false, false};
  for (Size step = steps.end - 1; step >= steps.begin; --step) {
    const Size first = schedule.first_of(step);
    const Size before = step > 0 ? schedule.first_of(step - 1) : 0;
    const Size end = std::min(sequences.end, schedule.count_of(step));
    Size n = sequences.begin;
    open.add(end - n, [&](OpenBlock, Size taken, bool ends) {
      counts.push_back(taken);
      saved.push_back(slices.row(first, n, schedule.steps()));
      packed.push_back(first + n);
      saved_before.push_back(step > 0 ? slices.row(before, n, schedule.steps()) : n);
      packed_before.push_back(before + n);
      n += taken;
      const bool last = first_step + step == 0 && n == end;
      if (!ends && !last && (step > steps.begin || n < end)) return;
      block.end = groups();
      block.closes = ends || last;
      block.last = last;
      block.of_first_step = step == 0;
      blocks.push_back(block);
      block = {groups(), 0, open, false, false, false};
    });
  }
}

}  // namespace pyrnn
