// Which rows advance at each step of the walk.
//
// Rows of all steps lie in one packed array; step s has rows first[s] .. first[s] + count[s] - 1.
// Counts never grow, and row n of a step is the same sequence at every step, so the previous row of
// first[s] + n is first[s - 1] + n. A reversed walk over equal lengths only runs through the same
// rows the other way round; sequences of different lengths are brought into this form by `order`.
#pragma once

#include <vector>

#include "kernel_table.hpp"
#include "runtime/range.hpp"

namespace pyrnn {

struct Schedule {
  std::vector<Size> first, count;
  Size batch_size = 0, rows = 0;

  Size steps() const { return static_cast<Size>(first.size()); }
  Size first_of(Size step) const { return first[static_cast<std::size_t>(step)]; }
  Size count_of(Size step) const { return count[static_cast<std::size_t>(step)]; }
  // The rows of steps [begin, end) lie together, whichever way the walk goes.
  Range rows_of(Size begin, Size end) const {
    return {std::min(first_of(begin), first_of(end - 1)),
            std::max(first_of(begin) + count_of(begin), first_of(end - 1) + count_of(end - 1))};
  }

  // Steps [begin, end) as a schedule of their own; their rows count from rows_of(begin, end).begin.
  Schedule part(Size begin, Size end) const {
    Schedule part;
    const Range all = rows_of(begin, end);
    part.batch_size = count_of(begin);
    part.rows = all.size();
    part.count.assign(count.begin() + begin, count.begin() + end);
    for (Size step = begin; step < end; ++step) part.first.push_back(first_of(step) - all.begin);
    return part;
  }

  static Schedule uniform(Size time_steps, Size batch_size, bool reverse) {
    Schedule schedule;
    schedule.batch_size = batch_size;
    schedule.rows = time_steps * batch_size;
    schedule.first.resize(static_cast<std::size_t>(time_steps));
    schedule.count.assign(static_cast<std::size_t>(time_steps), batch_size);
    for (Size step = 0; step < time_steps; ++step)
      schedule.first[static_cast<std::size_t>(step)] =
          (reverse ? time_steps - 1 - step : step) * batch_size;
    return schedule;
  }

  // The batch in parts of about the same work, for threads that each walk their own rows.
  std::vector<Range> row_parts(int threads) const {
    std::vector<Range> parts;
    Size row = 0, done = 0, length = steps();
    for (int thread = 0; thread < threads; ++thread) {
      const Size begin = row;
      for (; row < batch_size; ++row) {
        while (length > 0 && count[static_cast<std::size_t>(length - 1)] <= row) --length;
        if (thread + 1 < threads && done + length / 2 >= rows * (thread + 1) / threads) break;
        done += length;
      }
      parts.push_back({begin, row});
    }
    return parts;
  }
};

}  // namespace pyrnn
