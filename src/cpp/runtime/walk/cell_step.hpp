// The two halves of a step, with the kernels' arguments filled in: what x brings to the
// pre-activations, and the step of the hidden state on them.
#pragma once

#include "runtime/layout/cell_weights.hpp"
#include "runtime/layout/matrix_product.hpp"
#include "runtime/layout/narrow_rows.hpp"
#include "runtime/threads/range.hpp"

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

// Rows of some steps: `count` of each of `groups`, which are `apart` from one step to the next;
// their pre-activations `gates_apart`.
struct StepRows {
  Size count, groups = 1, apart = 0, gates_apart = 0;
};

// What a product of slots from one on adds at last, from a row of biases, if there is one.
template <class T>
const T* bias_from(const CellSizes<T>& sizes, const Buffer<T>& bias, int slot) {
  return bias.size() > 0 ? bias.data() + sizes.slot_offset(slot) : nullptr;
}

// Packed weights onto some slots of pre-activations, and their biases: what is the same in every
// step. Set in place, as a copy would have to wait for what was just written to it.
template <class T>
void set_weights(const CellSizes<T>& sizes, Product<T>& product, const Panels<T>& weights,
                 const Buffer<T>& bias, int slot_begin, int slot_end, Size k) {
  const Size slots = slot_end - slot_begin;
  weights.set(product);
  product.width = slots * sizes.shape().unit_vectors;
  product.vectors = slots * sizes.padded / sizes.lanes();
  product.c_panel = sizes.panel_stride();
  product.columns = product.vectors * sizes.lanes();
  product.bias = bias_from(sizes, bias, slot_begin);
  product.blocks = sizes.in_blocks();
  product.k_outer = 1;
  product.k_inner = k;
}

// gates (rows, slots * padded) = x W_ih in the slots that x reaches, and + b in those that it alone
// reaches
template <class T>
void input_product(const CellWeights<T>& weights, const InputRows<T>& x, T* gates,
                   const StepRows& rows, Range panels, bool last_first = false) {
  const CellSizes<T>& sizes = weights.sizes;
  const CellShape& shape = sizes.shape();
  Product<T> product{};
  set_weights(sizes, product, weights.input, weights.input_bias, shape.input_begin, shape.input_end,
              weights.input_count());
  read_from(product, x.dense, x.row);
  write_to(product, gates + sizes.slot_offset(shape.input_begin), sizes.gates_row(), rows.count);
  start_at_zero(product);
  set_panels(product, panels);
  product.groups = rows.groups;
  product.a_group = rows.apart * (x.indices != nullptr ? 1 : x.row);
  product.c_group = rows.gates_apart * sizes.gates_row();
  product.last_first = last_first;
  if (x.indices != nullptr) {
    sizes.kernels->gather_product(product, x.indices);
  } else {
    NarrowRows<T> narrow;
    narrow.make(*sizes.kernels, product);
    sizes.kernels->product(product);
  }
}

// The product of a step, or its first: that of W_hh, if there is one before u is made.
template <class T>
void set_hidden_weights(const CellWeights<T>& weights, Product<T>& product) {
  const CellShape& shape = weights.sizes.shape();
  if (shape.has_hidden())
    set_weights(weights.sizes, product, weights.hidden, weights.bias, shape.hidden_begin,
                shape.hidden_end, weights.sizes.output_size);
}

// A step with the fields that follow from the weights.
template <class T>
StepForward<T> step_of(const CellWeights<T>& weights) {
  const CellSizes<T>& sizes = weights.sizes;
  StepForward<T> step{};
  set_hidden_weights(weights, step.product);
  step.gates_row = sizes.gates_row();
  step.units = sizes.hidden_size;
  step.inner_row = step.u_row = step.unit_block = sizes.padded;
  step.unit = weights.unit.data();
  step.activations = &sizes.activations;
  return step;
}

// Rows of `a`, and of a step's pre-activations from a slot on.
template <class T>
void set_step_rows(const CellSizes<T>& sizes, StepForward<T>& step, int slot, const T* a,
                   Size a_row) {
  Product<T>& product = step.product;
  read_from(product, a, a_row);
  write_to(product, step.gates + sizes.slot_offset(slot), sizes.gates_row(), step.rows);
  go_on_in_place(product);
  set_panels(product, {step.panel_begin, step.panel_end});
}

// Runs `step` (states, rows, gates, u, panels are set) with the product of W_hh and `hidden`
// (rows, O), which is h or h masked: all of it, or up to the second product.
template <class T>
void hidden_step(const CellWeights<T>& weights, StepForward<T>& step, const T* hidden,
                 Size hidden_row) {
  const CellSizes<T>& sizes = weights.sizes;
  const CellShape& shape = sizes.shape();
  NarrowRows<T> narrow;
  if (shape.has_hidden()) {
    set_step_rows(sizes, step, shape.hidden_begin, hidden, hidden_row);
    narrow.make(*sizes.kernels, step.product);
  }
  if (shape.has_second()) {
    StepForward<T> first = step;
    first.h_prev = hidden;
    first.h_prev_row = hidden_row;
    sizes.cell->forward_first(first);
  } else if (sizes.projected) {
    StepForward<T> inside = step;
    inside.h_next = step.u;
    inside.h_next_row = step.u_row;
    sizes.cell->forward(inside);
  } else {
    sizes.cell->forward(step);
  }
}

// The rest of a step of two products, for all units of u: what its own panels of units lack, or
// the panels `outputs` of h.
template <class T>
void second_step(const CellWeights<T>& weights, StepForward<T>& step, Range outputs) {
  const CellSizes<T>& sizes = weights.sizes;
  const CellShape& shape = sizes.shape();
  NarrowRows<T> narrow;
  if (shape.has_second()) {
    set_weights(sizes, step.product, weights.second, weights.bias, shape.second_begin,
                shape.second_end, sizes.hidden_size);
    set_step_rows(sizes, step, shape.second_begin, static_cast<const T*>(step.u), step.u_row);
    narrow.make(*sizes.kernels, step.product);
    sizes.cell->forward(step);
    set_hidden_weights(weights, step.product);  // for the step after
    return;
  }
  if (outputs.size() == 0) return;
  Product<T> product{};
  set_matrix(product, nullptr, sizes.hidden_size, sizes.output_size, sizes.lanes());
  weights.second.set(product);
  read_from(product, static_cast<const T*>(step.u), step.u_row);
  write_to(product, step.h_next, step.h_next_row, step.rows);
  set_panels(product, outputs);
  narrow.make(*sizes.kernels, product);
  sizes.kernels->product(product);
}

}  // namespace pyrnn
