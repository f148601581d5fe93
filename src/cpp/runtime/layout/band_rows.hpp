// The rows of a band of sequences in the order in which sums over time take them, and where these
// sums' blocks begin and end.
#pragma once

#include <vector>

#include "runtime/layout/schedule.hpp"
#include "runtime/layout/slices.hpp"
#include "runtime/layout/sum_blocks.hpp"

namespace pyrnn {

// Rows that fall into one block: some of the groups.
struct BlockRows {
  Size begin, end;     // of the groups
  OpenBlock before;    // what the block was before these rows
  bool closes, last;   // whether it ends with them; whether all sums do
  bool of_first_step;  // whether the last group's rows are of the schedule's first step

  bool closes_bundle() const { return last || (closes && before.block + 1 == blocks_together); }
};

// How many rows each group has, and their first among those that are saved, in the packed batch,
// and a step before in each.
struct BandRows {
  std::vector<Size> counts, saved, packed, saved_before, packed_before;
  std::vector<BlockRows> blocks;

  // Of some sequences and steps; `first_step` is the schedule's first one in the whole sequence,
  // `open` the block that rows of later steps have left open.
  BandRows(const Schedule& schedule, const Slices& slices, Range sequences, Range steps,
           Size first_step, OpenBlock open);

  Size groups() const { return static_cast<Size>(counts.size()); }
  RowGroups from(const std::vector<Size>& first, const BlockRows& block) const {
    return {first.data() + block.begin, counts.data() + block.begin, block.end - block.begin};
  }
};

}  // namespace pyrnn
