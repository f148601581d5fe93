// Sequences of different lengths as a packed batch: longest first, the rows of each step together.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "runtime/layout/schedule.hpp"
#include "runtime/threads/interrupts.hpp"
#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {

struct PackedBatch {
  Schedule schedule;
  std::vector<Size> sequence;  // packed position in the batch -> sequence
  std::vector<Size> source;    // packed row -> time * batch + sequence

  // lengths (batch,) in [1, time_steps]; the reverse direction starts at each sequence's last step.
  PackedBatch(const Size* lengths, Size batch_size, bool reverse)
      : sequence(static_cast<std::size_t>(batch_size)) {
    std::iota(sequence.begin(), sequence.end(), Size{0});
    std::stable_sort(sequence.begin(), sequence.end(),
                     [&](Size a, Size b) { return lengths[a] > lengths[b]; });
    schedule.batch_size = batch_size;
    const Size steps = batch_size == 0 ? 0 : lengths[sequence[0]];
    Size active = batch_size;
    Pace pace;
    for (Size step = 0; step < steps; ++step) {
      pace.tick();
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
  const Size grain = std::max<Size>(1, tuning::copy_grain / columns);
  parallel_for(static_cast<Size>(rows.size()), grain, 1, [&](Range mine) {
    in_pieces(mine, columns * tuning::products_of_a_copy, 1, [&](Range some) {
      for (Size i = some.begin; i < some.end; ++i)
        std::copy_n(from + rows[static_cast<std::size_t>(i)] * from_row, columns, to + i * columns);
    });
  });
}

// to[rows[i]] = from[i]
template <class T>
void scatter_rows(const T* from, const std::vector<Size>& rows, Size columns, T* to) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(from + static_cast<Size>(i) * columns, columns, to + rows[i] * columns);
}

// The packed rows where they belong in (time_steps, batch, columns), zeros past each length.
template <class T>
void unpack_rows(const PackedBatch& packed, const T* from, Size time_steps, Size columns, T* to) {
  const Size rows = time_steps * packed.schedule.batch_size;
  std::vector<const T*> sources(static_cast<std::size_t>(rows), nullptr);
  in_pieces({0, static_cast<Size>(packed.source.size())}, tuning::products_of_a_copy, 1,
            [&](Range some) {
              for (Size i = some.begin; i < some.end; ++i)
                sources[static_cast<std::size_t>(packed.source[static_cast<std::size_t>(i)])] =
                    from + i * columns;
            });
  const Size grain = std::max<Size>(1, tuning::copy_grain / columns);
  parallel_for(rows, grain, 1, [&](Range mine) {
    in_pieces(mine, columns * tuning::products_of_a_copy, 1, [&](Range some) {
      for (Size row = some.begin; row < some.end; ++row) {
        const T* const source = sources[static_cast<std::size_t>(row)];
        if (source != nullptr) {
          std::copy_n(source, columns, to + row * columns);
        } else {
          std::fill(to + row * columns, to + (row + 1) * columns, T(0));
        }
      }
    });
  });
}

}  // namespace pyrnn
