// Sequences of different lengths as a packed batch: longest first, the rows of each step together.
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "runtime/schedule.hpp"

namespace pyrnn {

struct PackedBatch {
  Schedule schedule;
  std::vector<Size> sequence;  // packed position in the batch -> sequence
  std::vector<Size> source;    // packed row -> time * batch + sequence

  // lengths (batch,) in [1, time_steps]; a reversed walk starts at each sequence's end.
  PackedBatch(const Size* lengths, Size batch_size, bool reverse)
      : sequence(static_cast<std::size_t>(batch_size)) {
    std::iota(sequence.begin(), sequence.end(), Size{0});
    std::stable_sort(sequence.begin(), sequence.end(),
                     [&](Size a, Size b) { return lengths[a] > lengths[b]; });
    schedule.batch_size = batch_size;
    const Size steps = batch_size == 0 ? 0 : lengths[sequence[0]];
    Size active = batch_size;
    for (Size step = 0; step < steps; ++step) {
      while (lengths[sequence[static_cast<std::size_t>(active - 1)]] <= step) --active;
      schedule.first.push_back(schedule.rows);
      schedule.count.push_back(active);
      schedule.rows += active;
      for (Size j = 0; j < active; ++j) {
        const Size n = sequence[static_cast<std::size_t>(j)];
        source.push_back((reverse ? lengths[n] - 1 - step : step) * batch_size + n);
      }
    }
  }
};

// to[i] = from[rows[i]], rows of `columns` numbers
template <class T>
void gather_rows(const T* from, Size from_row, const std::vector<Size>& rows, Size columns, T* to) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(to + static_cast<Size>(i) * columns, from + rows[i] * from_row,
                static_cast<std::size_t>(columns) * sizeof(T));
}

// to[rows[i]] = from[i]
template <class T>
void scatter_rows(const T* from, const std::vector<Size>& rows, Size columns, T* to, Size to_row) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(to + rows[i] * to_row, from + static_cast<Size>(i) * columns,
                static_cast<std::size_t>(columns) * sizeof(T));
}

}  // namespace pyrnn
