// One step of the backward pass for some rows, in the parts between which threads may have to wait:
//   enter       what comes from above and from later joins; what zoneout takes past the step leaves
//   project     h was projected: gradients of the cell's own output
//   pointwise   gates become gradients of pre-activations
//   second      a second product inside the step: gradients of u, then the rest of pointwise
//   carry       through W_hh to the h before
//   leave       what went past the products joins again
#pragma once

#include "runtime/layout/matrix_product.hpp"
#include "runtime/layout/rows.hpp"
#include "runtime/threads/pieces.hpp"
#include "runtime/walk/gradient_sums.hpp"
#include "runtime/walk/noise.hpp"

namespace pyrnn {

// Gradients in flight, of `rows` sequences (or windows of sequences).
template <class T>
struct BackState {
  Size rows;
  Buffer<T> dh;       // (rows, padded output)
  Buffer<T> dinner;   // (inner states, rows, padded)
  Buffer<T> du;       // (rows, padded): of u, or of the cell's output before its projection
  Buffer<T> dhidden;  // (rows, padded output): of h as products take it, where it is masked
  Buffer<T> passed;   // (states, rows, padded output or padded): past the step
  Buffer<T> scratch;  // (threads, scratch blocks, padded)

  BackState(const CellSizes<T>& sizes, Size count, const Noise<T>& noise, int threads)
      : rows(count),
        dh(Buffer<T>::zeros(count * sizes.padded_output)),
        dinner(Buffer<T>::zeros(sizes.inner_states() * count * sizes.padded)),
        scratch(threads * sizes.shape().scratch_blocks * sizes.padded) {
    if (sizes.two_products()) du = Buffer<T>(count * sizes.padded);
    if (noise.hidden_mask != nullptr) dhidden = Buffer<T>(count * sizes.padded_output);
    if (noise.zones()) passed = Buffer<T>(sizes.shape().states * count * sizes.padded);
  }
};

// The rows that one step of the backward pass takes.
template <class T>
struct BackRows {
  Size row;                        // the first of them in the packed batch
  Size previous;                   // its row a step before; less than 0 where there is none
  Size saved_row, saved_previous;  // the same among the values that are saved
  Size sequence;                   // the first sequence
  Size state;                      // the first row of the BackState
  Size count;
  Size steps;   // of the sequence, or the window, that are left after this one
  const T* dy;  // (count, O), or null
  Size dy_row;
  T* dgates;                // (count, slots * padded)
  T* projected;             // (count, padded output): where gradients of a projected h go
  bool last_first = false;  // as of products; other than at the step before
};

template <class T>
class StepBack {
 public:
  StepBack(const LayerInputs<T>& inputs, const SavedValues<T>& saved, const Noise<T>& noise,
           GradientSums<T>& sums, BackState<T>& state)
      : inputs_(inputs),
        weights_(*inputs.weights),
        sizes_(inputs.weights->sizes),
        saved_(saved),
        noise_(noise),
        sums_(sums),
        state_(state) {}

  // Whether `enter` has anything to do, and `leave`.
  bool enters() const { return sizes_.projected || noise_.zones(); }
  bool leaves() const { return noise_.zones() || masked(); }

  // units: of h; inner_units: of the other states
  void enter(const BackRows<T>& rows, Range units, Range inner_units) {
    const UnitRows<T> dh{state_.dh.data() + rows.state * padded_output(), padded_output()};
    if (rows.dy != nullptr) add_rows<T>({rows.dy, rows.dy_row}, dh, rows.count, units);
    if (noise_.zoneout[0].active())
      zone_out_back<T>(zone(0, rows), dh, passed(0, rows), rows.count, units);
    if (sizes_.projected) {
      copy_rows(dh.data + units.begin, dh.row, rows.projected + units.begin, padded_output(),
                rows.count, units.size());
    }
    for (int s = 1; s <= sizes_.inner_states(); ++s) {
      if (noise_.zoneout[s].active())
        zone_out_back<T>(zone(s, rows), dinner(s, rows), passed(s, rows), rows.count, inner_units);
    }
  }

  void project(const BackRows<T>& rows, Range unit_columns) {
    Product<T> product{};
    set_matrix(product, nullptr, sizes_.output_size, sizes_.padded, sizes_.lanes());
    weights_.second_back.set_whole(product);
    read_from(product, static_cast<const T*>(rows.projected), padded_output());
    set_output(product, rows, state_.du.data() + rows.state * sizes_.padded, false);
    multiply_panels(product, unit_columns);
  }

  void pointwise(const BackRows<T>& rows, Range panels, int thread) {
    StepBackward<T> q = step(rows, panels, thread);
    if (sizes_.projected) {
      q.dh = state_.du.data() + rows.state * sizes_.padded;
    } else if (!enters()) {
      q.dy = rows.dy;
      q.dy_row = rows.dy_row;
    }
    sizes_.cell->backward(q);
    sums_.close_units(rows.steps, {rows.state, rows.state + rows.count}, panels);
  }

  // du = dz W_hh of the slots that u feeds
  void second_product(const BackRows<T>& rows, Range unit_columns) {
    columns_back(rows, sizes_.shape().second_begin, sizes_.second_slots(), weights_.second_back,
                 state_.du.data() + rows.state * sizes_.padded, sizes_.padded, unit_columns);
  }

  void pointwise_first(const BackRows<T>& rows, Range panels, int thread) {
    StepBackward<T> q = step(rows, panels, thread);
    q.gates = q.dgates;
    q.du = state_.du.data() + rows.state * sizes_.padded;
    if (masked()) {
      q.h_prev = rows.previous < 0
                     ? saved_.hidden0.data() + rows.sequence * sizes_.output_size
                     : saved_.hidden.data() + rows.saved_previous * sizes_.output_size;
      q.h_prev_row = sizes_.output_size;
      q.dh = state_.dhidden.data() + rows.state * padded_output();
      const Range units = {panels.begin * sizes_.panel_units(),
                           std::min(panels.end * sizes_.panel_units(), padded_output())};
      for (Size row = 0; row < rows.count; ++row)
        std::fill(q.dh + row * q.d_row + units.begin, q.dh + row * q.d_row + units.end, T(0));
    }
    sizes_.cell->backward_first(q);
  }

  // dh = past the product + dz W_hh
  void carry(const BackRows<T>& rows, Range outputs) {
    const CellShape& shape = sizes_.shape();
    if (!shape.has_hidden()) return;
    T* const to = (masked() ? state_.dhidden : state_.dh).data() + rows.state * padded_output();
    // There is already a gradient: h entered h' without a product, or through u.
    const bool onto = masked() ? shape.has_second() : shape.passes_h;
    columns_back(rows, shape.hidden_begin, sizes_.hidden_slots(), weights_.hidden_back, to,
                 padded_output(), outputs, onto);
  }

  void leave(const BackRows<T>& rows, Range units, Range inner_units) {
    const UnitRows<T> dh{state_.dh.data() + rows.state * padded_output(), padded_output()};
    if (masked()) {
      const Size O = sizes_.output_size;
      const UnitRows<T> dhidden{state_.dhidden.data() + rows.state * padded_output(),
                                padded_output()};
      mask_rows<T>({dhidden.data, dhidden.row}, {noise_.hidden_mask + rows.sequence * O, O},
                   dhidden, rows.count, units);
      if (sizes_.shape().passes_h) {
        add_rows<T>({dhidden.data, dhidden.row}, dh, rows.count, units);
      } else {
        copy_rows(dhidden.data + units.begin, dhidden.row, dh.data + units.begin, dh.row,
                  rows.count, units.size());
      }
    }
    if (noise_.zoneout[0].active()) add(passed(0, rows), dh, rows.count, units);
    for (int s = 1; s <= sizes_.inner_states(); ++s) {
      if (noise_.zoneout[s].active())
        add(passed(s, rows), dinner(s, rows), rows.count, inner_units);
    }
  }

 private:
  bool masked() const { return noise_.hidden_mask != nullptr; }
  Size padded_output() const { return sizes_.padded_output; }

  static void add(UnitRows<T> a, UnitRows<T> to, Size rows, Range units) {
    add_rows<T>({a.data, a.row}, to, rows, units);
  }
  Zoneout<T> zone(int s, const BackRows<T>& rows) const { return noise_.zoneout[s].from(rows.row); }
  UnitRows<T> dinner(int s, const BackRows<T>& rows) {
    return {state_.dinner.data() + ((s - 1) * state_.rows + rows.state) * sizes_.padded,
            sizes_.padded};
  }
  UnitRows<T> passed(int s, const BackRows<T>& rows) {
    return {state_.passed.data() + (s * state_.rows + rows.state) * sizes_.padded, sizes_.padded};
  }

  StepBackward<T> step(const BackRows<T>& rows, Range panels, int thread) {
    const Size padded = sizes_.padded, O = sizes_.output_size;
    const bool first = rows.previous < 0;
    const CellShape& shape = sizes_.shape();
    StepBackward<T> q{};
    q.gates_row = q.dgates_row = sizes_.gates_row();
    q.dgates = rows.dgates;
    q.gates = saved_.gates.data() + rows.saved_row * q.gates_row;
    q.h_prev = first ? inputs_.h0 + rows.sequence * O : inputs_.y + rows.previous * inputs_.y_row;
    q.h_prev_row = first ? O : inputs_.y_row;
    q.inner_prev = first ? saved_.inner0.data() + rows.sequence * padded
                         : saved_.inner.data() + rows.saved_previous * padded;
    q.inner_prev_state = (first ? saved_.batch : saved_.rows) * padded;
    q.inner_row = padded;
    q.dh = state_.dh.data() + rows.state * padded_output();
    q.dinner = state_.dinner.data() + rows.state * padded;
    q.d_row = padded;
    q.dinner_state = state_.rows * padded;
    q.unit = weights_.unit.data();
    q.dunit = sums_.units() + rows.state * shape.unit_blocks() * padded;
    q.unit_block = padded;
    q.activations = &weights_.sizes.activations;
    q.scratch = state_.scratch.data() + thread * shape.scratch_blocks * padded;
    q.rows = rows.count;
    q.units = sizes_.hidden_size;
    q.panel_begin = panels.begin;
    q.panel_end = panels.end;
    return q;
  }

  // dz times weights of some slots, into whole padded columns.
  void columns_back(const BackRows<T>& rows, int slot_begin, Size slots,
                    const BackPanels<T>& weights, T* to, Size padded, Range panels,
                    bool onto = false) const {
    if (panels.size() == 0 || rows.count == 0) return;
    Product<T> columns{};
    set_columns(columns, nullptr, padded, sizes_.lanes());
    set_output(columns, rows, to, onto);
    multiply_back(sizes_, weights, static_cast<const T*>(rows.dgates), slot_begin, slots, columns,
                  [&](Product<T>& product) { multiply_panels(product, panels); });
  }

  // C's rows, whose sums start from what is there or from zero.
  static void set_output(Product<T>& product, const BackRows<T>& rows, T* to, bool onto) {
    write_to(product, to, product.columns, rows.count);
    if (onto) go_on_in_place(product);
    product.last_first = rows.last_first;
  }

  void multiply_panels(Product<T>& product, Range panels) const {
    if (panels.size() == 0 || product.rows == 0) return;
    NarrowRows<T> narrow;
    narrow.make(*sizes_.kernels, product);
    const Size panel_products = product.rows * product.k_outer * product.k_inner * product.c_panel;
    in_pieces(panels, panel_products, 1, [&](Range some) {
      set_panels(product, some);
      sizes_.kernels->product(product);
    });
  }

  const LayerInputs<T>& inputs_;
  const CellWeights<T>& weights_;
  const CellSizes<T>& sizes_;
  const SavedValues<T>& saved_;
  const Noise<T>& noise_;
  GradientSums<T>& sums_;
  BackState<T>& state_;
};

}  // namespace pyrnn
