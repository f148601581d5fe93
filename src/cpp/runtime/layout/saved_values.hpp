// What the backward pass needs besides x, y and the initial h: owned by a cache.
#pragma once

#include <algorithm>
#include <utility>

#include "runtime/layout/cell_weights.hpp"
#include "runtime/layout/schedule.hpp"
#include "runtime/layout/slices.hpp"
#include "runtime/memory/buffer.hpp"
#include "runtime/threads/interrupts.hpp"

namespace pyrnn {

template <class T>
struct SavedValues {
  Slices slices;  // in whose order rows lie; those of the batch in its own
  Size rows = 0, batch = 0;
  Buffer<T> gates;    // (rows, slots * padded)
  Buffer<T> inner;    // states after h: (inner states, rows, padded)
  Buffer<T> inner0;   // their first values: (inner states, batch, padded)
  Buffer<T> u;        // (rows, padded): what a second product took
  Buffer<T> hidden;   // (rows, O): h as products take it, where it is masked
  Buffer<T> hidden0;  // (batch, O)

  SavedValues() = default;
  // gate_rows: of `gates`; row_count: of the others
  SavedValues(const CellSizes<T>& sizes, Slices order, Size gate_rows, Size row_count,
              Size batch_size, bool masked)
      : slices(std::move(order)),
        rows(row_count),
        batch(batch_size),
        gates(gate_rows * sizes.gates_row()),
        inner(sizes.inner_states() * rows * sizes.padded),
        inner0(sizes.inner_states() * batch * sizes.padded) {
    if (sizes.two_products()) u = Buffer<T>(rows * sizes.padded);
    if (!masked) return;
    hidden = Buffer<T>(rows * sizes.output_size);
    hidden0 = Buffer<T>(batch * sizes.output_size);
  }
};

// Rows of some states, from slices into the order of the packed batch.
template <class T>
void join_rows(Buffer<T>& rows, Size columns, Size states, const Slices& slices,
               const Schedule& schedule) {
  Buffer<T> joined(rows.size());
  const Size numbers = schedule.rows * columns;
  for (Size state = 0; state < states && rows.size() > 0; ++state) {
    Pace pace;
    for (Size step = 0; step < schedule.steps(); ++step) {
      pace.tick();
      const Size first = schedule.first_of(step);
      slices.each({0, schedule.count_of(step)}, [&](Range some) {
        const T* const from = rows.data() + state * numbers +
                              slices.row(first, some.begin, schedule.steps()) * columns;
        std::copy(from, from + some.size() * columns,
                  joined.data() + state * numbers + (first + some.begin) * columns);
      });
    }
  }
  rows = std::move(joined);
}

// One slice of all.
template <class T>
void join_slices(SavedValues<T>& saved, const CellSizes<T>& sizes, const Schedule& schedule) {
  if (saved.slices.count() == 1) return;
  join_rows(saved.gates, sizes.gates_row(), 1, saved.slices, schedule);
  join_rows(saved.inner, sizes.padded, sizes.inner_states(), saved.slices, schedule);
  join_rows(saved.u, sizes.padded, 1, saved.slices, schedule);
  join_rows(saved.hidden, sizes.output_size, 1, saved.slices, schedule);
  saved.slices = Slices(schedule.batch_size);
}

}  // namespace pyrnn
