// Which rows advance at each time step.
//
// Rows of all steps lie in one packed array; step s has rows first[s] .. first[s] + count[s] - 1.
// Counts never grow, and row n of a step is the same sequence at every step, so the previous row of
// first[s] + n is first[s - 1] + n. The reverse direction over equal lengths takes the same rows
// from the last step on; sequences of different lengths are sorted into this form (`PackedBatch`).
#pragma once

#include <vector>

#include "kernel_table.hpp"
#include "runtime/threads/range.hpp"

namespace pyrnn {

struct Schedule {
  std::vector<Size> first, count;
  Size batch_size = 0, rows = 0;
  // Of neighbouring sequences, each with sums of its own for the gradients of parameters, which are
  // added up at last. Their number is part of what is computed: the same for any number of threads.
  int bands = 1;

  Size steps() const { return static_cast<Size>(first.size()); }
  Size first_of(Size step) const { return first[static_cast<std::size_t>(step)]; }
  Size count_of(Size step) const { return count[static_cast<std::size_t>(step)]; }
  // Whether all sequences are equally long.
  bool uniform() const { return rows == steps() * batch_size; }
  Range band(int index) const { return split(batch_size, bands, index); }
  // The rows of steps [begin, end) lie together, in both directions.
  Range rows_of(Size begin, Size end) const {
    return {std::min(first_of(begin), first_of(end - 1)),
            std::max(first_of(begin) + count_of(begin), first_of(end - 1) + count_of(end - 1))};
  }

  // Steps [begin, end) as a schedule of their own; their rows count from rows_of(begin, end).begin.
  Schedule segment(Size begin, Size end) const {
    Schedule segment;
    const Range all = rows_of(begin, end);
    segment.batch_size = count_of(begin);
    segment.rows = all.size();
    segment.bands = bands;
    segment.count.assign(count.begin() + begin, count.begin() + end);
    for (Size step = begin; step < end; ++step) segment.first.push_back(first_of(step) - all.begin);
    return segment;
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

  // Calls visit(step, n) for the last step of every sequence n.
  template <class Visit>
  void each_last_row(const Visit& visit) const {
    for (Size step = 0; step < steps(); ++step) {
      const Size next = step + 1 < steps() ? count_of(step + 1) : 0;
      for (Size n = next; n < count_of(step); ++n) visit(step, n);
    }
  }

  // A stretch of time of about so many rows: where it ends if it begins there, and the other way.
  Size stretch_from(Size begin, Size most_rows) const {
    Size end = begin + 1, in_it = count_of(begin);
    while (end < steps() && in_it + count_of(end) <= most_rows) in_it += count_of(end++);
    return end;
  }
  Size stretch_to(Size end, Size most_rows) const {
    Size begin = end - 1, in_it = count_of(begin);
    while (begin > 0 && in_it + count_of(begin - 1) <= most_rows) in_it += count_of(--begin);
    return begin;
  }

  // The rows of steps [begin, end) that one of several threads computes, so that all have about the
  // same work; counted from each step's first. Without rounding: equally long sequences are shared
  // out alike in a stretch of any length, which lets threads walk on without waiting.
  Range rows_of_thread(Size begin, Size end, int threads, int thread) const {
    const Size batch = count_of(begin);
    Size all = 0;
    for (Size step = begin; step < end; ++step) all += count_of(step);
    Range mine{0, 0};
    Size row = 0, done = 0, length = end - begin;
    for (int index = 0; index <= thread; ++index) {
      mine.begin = row;
      for (; row < batch; ++row) {
        while (count_of(begin + length - 1) <= row) --length;
        if (index + 1 < threads && (2 * done + length) * threads >= 2 * all * (index + 1)) break;
        done += length;
      }
      mine.end = row;
    }
    return mine;
  }
};

}  // namespace pyrnn
