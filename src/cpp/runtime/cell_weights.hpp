// A cell's weights as the kernels read them, packed from torch's layout.
#pragma once

#include <algorithm>

#include "kernel_table.hpp"
#include "runtime/buffer.hpp"

namespace pyrnn {

// Weights in torch's layout: (gates * H, I), (gates * H, H), (gates * H,) twice or null.
template <class T>
struct CellParameters {
  const T* weight_ih;
  const T* weight_hh;
  const T* bias_ih;
  const T* bias_hh;
};

// Sizes, and where things lie in a row of pre-activations.
template <class T>
struct CellSizes {
  const Kernels<T>* kernels;
  const CellKernels<T>* cell;
  Size input_size, hidden_size;
  Size padded;  // hidden units in whole vectors

  CellSizes(const Kernels<T>& table, CellIndex index, Size input, Size hidden)
      : kernels(&table),
        cell(&table.cells[static_cast<int>(index)]),
        input_size(input),
        hidden_size(hidden),
        padded((hidden + table.lanes - 1) / table.lanes * table.lanes) {}

  const CellShape& shape() const { return cell->shape; }
  Size lanes() const { return kernels->lanes; }
  Size gates_row() const { return padded * shape().slots; }
  Size run() const { return shape().unit_vectors * lanes(); }  // units a panel
  Size panels() const { return (padded + run() - 1) / run(); }
  Size panel_stride() const { return run() * shape().slots; }  // in a row
  Size input_slots() const { return shape().input_end - shape().input_begin; }
  Size hidden_slots() const { return shape().hidden_end - shape().hidden_begin; }
  // Where a unit's slot is in a row; the last panel of a cell of one slot may be narrower.
  Size gate_offset(int slot, Size unit) const {
    const Size panel = unit / run();
    const Size width = std::min(run(), padded - panel * run());
    return panel * panel_stride() + slot * width + unit % run();
  }
  // Slots of cells with several lie a vector apart.
  Size slot_offset(int slot) const { return slot * lanes(); }
  int inner_states() const { return shape().states - 1; }
};

// Packed for the way forward, and if `training` for the way back too: a cache must not see later
// changes of the parameters.
template <class T>
struct CellWeights {
  CellSizes<T> sizes;
  Buffer<T> input, hidden;            // (I or H) x slots x padded, in panels
  Buffer<T> bias;                     // one row of pre-activations
  Buffer<T> input_back, hidden_back;  // slots x padded x (I or H), in panels

  CellWeights(const CellSizes<T>& cell_sizes, const CellParameters<T>& parameters, bool training);
};

extern template struct CellWeights<float>;
extern template struct CellWeights<double>;

}  // namespace pyrnn
