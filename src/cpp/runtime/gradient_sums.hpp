// The gradients of a layer's parameters and of its input, from the gradients of its
// pre-activations.
//
// Sums over time run from the last step to the first, whatever the stretches in which they are
// taken; the first step's share of dweight_hh, which multiplies h0, is the last.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/cell_step.hpp"
#include "runtime/schedule.hpp"

namespace pyrnn {

// Where gradients go, in torch's layout; all are written, not added to.
template <class T>
struct Gradients {
  T* weight_ih;
  T* weight_hh;
  T* bias_ih;  // or null
  T* bias_hh;
};

// What was fed to the layer.
template <class T>
struct LayerInputs {
  const CellWeights<T>* weights;
  const Schedule* schedule;
  InputRows<T> x;
  const T* h0;  // (batch, H)
  const T* y;   // (rows, H), row by row
  Size y_row;
};

template <class T>
class GradientSums {
 public:
  // dgates: (rows, slots * padded). `threads` may call `sum` at a time.
  GradientSums(const LayerInputs<T>& inputs, const T* dgates, const Gradients<T>& gradients,
               int threads);

  // The share of steps [begin, end) for some panels of units; the last steps come first.
  void sum(Size begin, Size end, Range panels, int thread);
  // dx (rows, I) for some rows
  void input_gradient(Range rows, T* dx) const;
  // Brings the sums that were kept in the core's layout into torch's.
  void finish();

 private:
  struct Groups;
  void sum_bias(const Groups& rows, Range panels, bool accumulate);
  void sum_input(const Groups& rows, Range panels, bool accumulate, int thread);
  void sum_hidden(const Groups& rows, const Groups& previous, Range panels, bool first_step,
                  bool accumulate, int thread);
  OuterProduct<T> outer_of(int slot_begin, int slot_end, Range panels, int thread);
  Range columns_of(Range panels) const;

  const LayerInputs<T> inputs_;
  const CellSizes<T>& sizes_;
  const T* dgates_;
  const Gradients<T> gradients_;
  Buffer<T> bias_sums_, one_hot_sums_, zeros_;
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
  product.k_inner = whole ? sizes.gates_row() : slots * sizes.lanes();
  product.a_outer = sizes.panel_stride();
  product.width = panel_vectors;
  product.init_panel = product.c_panel = panel_vectors * sizes.lanes();
  return product;
}

extern template class GradientSums<float>;
extern template class GradientSums<double>;

}  // namespace pyrnn
