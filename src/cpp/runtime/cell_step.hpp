// The two halves of a step, with the kernels' arguments filled in: what x brings to the
// pre-activations, and the step of the hidden state on them.
#pragma once

#include <cstring>

#include "runtime/cell_weights.hpp"
#include "runtime/range.hpp"

namespace pyrnn {

// Input rows: dense (rows, I), or one-hot positions (rows,).
template <class T>
struct InputRows {
  const T* dense = nullptr;
  Size row = 0;
  const std::int64_t* indices = nullptr;

  InputRows from(Size first) const {
    return {dense == nullptr ? nullptr : dense + first * row, row,
            indices == nullptr ? nullptr : indices + first};
  }
};

// gates (rows, slots * padded) = x W_ih + b; slots that x does not reach start from their bias
template <class T>
void input_product(const CellWeights<T>& weights, const InputRows<T>& x, T* gates, Size rows,
                   Range panels) {
  const CellSizes<T>& sizes = weights.sizes;
  const CellShape& shape = sizes.shape();
  const Size slot = sizes.slot_offset(shape.input_begin);
  Product<T> product{};
  product.a = x.dense;
  product.a_row = x.row;
  product.b = weights.input.data();
  product.width = sizes.input_slots() * shape.unit_vectors;
  product.vectors = sizes.input_slots() * sizes.padded / sizes.lanes();
  product.init = weights.bias.data() + slot;
  product.init_panel = product.c_panel = sizes.panel_stride();
  product.c = gates + slot;
  product.c_row = sizes.gates_row();
  product.columns = product.vectors * sizes.lanes();
  product.rows = rows;
  product.k_outer = 1;
  product.k_inner = sizes.input_size;
  product.panel_begin = panels.begin;
  product.panel_end = panels.end;
  if (x.indices != nullptr) {
    sizes.kernels->gather_product(product, x.indices);
  } else {
    sizes.kernels->product(product);
  }
  const Size rest = (shape.slots - shape.input_end) * sizes.lanes();
  if (rest == 0) return;
  for (Size row = 0; row < rows; ++row) {
    for (Size panel = panels.begin; panel < panels.end; ++panel) {
      const Size at = panel * sizes.panel_stride() + sizes.slot_offset(shape.input_end);
      std::memcpy(gates + row * sizes.gates_row() + at, weights.bias.data() + at,
                  static_cast<std::size_t>(rest) * sizeof(T));
    }
  }
}

// Completes `step` (states, rows, gates, panels are set) with the product h W_hh, and runs it.
template <class T>
void hidden_step(const CellWeights<T>& weights, StepForward<T>& step) {
  const CellSizes<T>& sizes = weights.sizes;
  const CellShape& shape = sizes.shape();
  step.gates_row = sizes.gates_row();
  step.units = sizes.hidden_size;
  step.inner_row = sizes.padded;
  Product<T>& product = step.product;
  product.a = step.h_prev;
  product.a_row = step.h_prev_row;
  product.b = weights.hidden.data();
  product.width = sizes.hidden_slots() * shape.unit_vectors;
  product.vectors = sizes.hidden_slots() * sizes.padded / sizes.lanes();
  product.init = product.c = step.gates + sizes.slot_offset(shape.hidden_begin);
  product.init_row = product.c_row = sizes.gates_row();
  product.init_panel = product.c_panel = sizes.panel_stride();
  product.columns = product.vectors * sizes.lanes();
  product.rows = step.rows;
  product.k_outer = 1;
  product.k_inner = sizes.hidden_size;
  sizes.cell->forward(step);
}

}  // namespace pyrnn
