// The gradients of a layer's parameters and of its input, from the gradients of its
// pre-activations.
//
// Sums over time run from the last step to the first, whatever the stretches in which they are
// taken; the first step's share of dweight_hh, which multiplies h0, is the last.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/cell_step.hpp"
#include "runtime/kept.hpp"
#include "runtime/schedule.hpp"

namespace pyrnn {

// Where gradients go, in torch's layout, each null where the cell has no such parameter; all are
// written, not added to.
template <class T>
struct Gradients {
  T* weight_ih = nullptr;
  T* weight_hh = nullptr;
  T* weight_hr = nullptr;
  T* bias_ih = nullptr;
  T* bias_hh = nullptr;
  T* unit[max_unit_parameters] = {};
};

// What was fed to the layer, and what it gave.
template <class T>
struct LayerInputs {
  const CellWeights<T>* weights;
  const Schedule* schedule;
  InputRows<T> x;
  const T* h0;  // (batch, O)
  const T* y;   // (rows, O), row by row
  Size y_row;
};

// Gradients of pre-activations, and of h where it is projected.
template <class T>
struct GradientRows {
  const T* dgates;               // (rows, slots * padded)
  const T* projected = nullptr;  // (rows, padded output)
};

template <class T>
class GradientSums {
 public:
  // unit_rows: how many rows of `units()` there are
  GradientSums(const CellSizes<T>& sizes, bool one_hot, const Gradients<T>& gradients,
               Size unit_rows);

  // Begins with a part of the sequence; `threads` may call `sum` at a time.
  void begin(const LayerInputs<T>& inputs, const Kept<T>& kept, const GradientRows<T>& rows,
             int threads);
  // The share of steps [begin, end) for some panels of units and of h; the last steps come first.
  void sum(Size begin, Size end, Range panels, Range outputs, int thread);
  // dx (rows, I) for some rows
  void input_gradient(Range rows, T* dx) const;
  // To be called once, after the last `sum` of a part.
  void end() { fresh_ = false; }
  // Gradients of the parameters that act on units, summed over time by the steps themselves:
  // (unit rows, unit blocks, padded). A row for each sequence, so that no thread waits for another.
  T* units() { return units_.data(); }
  // Brings the sums that were kept in the core's layout into torch's.
  void finish();

 private:
  struct Groups;
  void sum_bias(const Groups& rows, Range panels, bool accumulate);
  void sum_one_hot(const Groups& rows, Range panels);
  void sum_second(const Groups& rows, Range panels, Range outputs, bool accumulate, int thread);
  void finish_one_hot();
  void finish_units();
  OuterProduct<T> outer_of(const Groups& rows, Range panels, bool accumulate, int thread);
  OuterSide<T> input_side(const Groups& rows) const;
  OuterSide<T> hidden_side(const Groups& previous, bool first_step) const;
  Range columns_of(Range panels) const;

  const CellSizes<T>& sizes_;
  const Gradients<T> gradients_;
  const bool one_hot_;
  const Size unit_rows_;
  LayerInputs<T> inputs_{};
  const Kept<T>* kept_ = nullptr;
  GradientRows<T> rows_{};
  bool fresh_ = true;
  Buffer<T> bias_sums_, one_hot_sums_, zeros_, units_;
  std::vector<Buffer<T>> scratch_;
};

// dz times packed weights of the way back: all but C of the product, for rows of pre-activations'
// gradients that begin at `dgates`.
template <class T>
Product<T> back_product(const CellSizes<T>& sizes, const T* dgates, int slot_begin, Size slots) {
  Product<T> product{};
  product.a_row = sizes.gates_row();
  product.a = dgates + sizes.slot_offset(slot_begin);
  const bool whole = slots == sizes.shape().slots;
  product.k_outer = whole ? 1 : sizes.panels();
  product.k_inner = whole ? sizes.gates() : slots * sizes.lanes();
  product.a_outer = sizes.panel_stride();
  product.width = panel_vectors;
  product.init_panel = product.c_panel = panel_vectors * sizes.lanes();
  return product;
}

extern template class GradientSums<float>;
extern template class GradientSums<double>;

}  // namespace pyrnn
