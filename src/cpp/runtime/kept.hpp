// What the way back needs besides x, y and the first h: owned by a cache.
#pragma once

#include "runtime/buffer.hpp"
#include "runtime/cell_weights.hpp"

namespace pyrnn {

template <class T>
struct Kept {
  Buffer<T> gates;    // (rows, slots * padded)
  Buffer<T> inner;    // states after h: (inner states, rows, padded)
  Buffer<T> inner0;   // their first values: (inner states, batch, padded)
  Buffer<T> u;        // (rows, padded): what a second product took
  Buffer<T> hidden;   // (rows, O): h as products take it, where it is masked
  Buffer<T> hidden0;  // (batch, O)

  Kept() = default;
  // gate_rows: of `gates`; rows: of the others
  Kept(const CellSizes<T>& sizes, Size gate_rows, Size rows, Size batch, bool masked)
      : gates(gate_rows * sizes.gates_row()),
        inner(sizes.inner_states() * rows * sizes.padded),
        inner0(sizes.inner_states() * batch * sizes.padded) {
    if (sizes.two_products()) u = Buffer<T>(rows * sizes.padded);
    if (!masked) return;
    hidden = Buffer<T>(rows * sizes.output_size);
    hidden0 = Buffer<T>(batch * sizes.output_size);
  }
};

}  // namespace pyrnn
