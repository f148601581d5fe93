// A cell's weights as the kernels read them, packed from torch's layout.
#pragma once

#include <algorithm>
#include <vector>

#include "kernel_table.hpp"
#include "runtime/layout/back_panels.hpp"
#include "runtime/layout/panels.hpp"
#include "runtime/memory/buffer.hpp"
#include "runtime/threads/range.hpp"

namespace pyrnn {

// Weights in torch's layout, each null where the cell has none: (gates * H, I), (gates * H, O),
// (O, H), (gates * H,) twice, (blocks * H,) each. O is H, or the size of the projection.
template <class T>
struct CellParameters {
  const T* weight_ih = nullptr;
  const T* weight_hh = nullptr;
  const T* weight_hr = nullptr;
  const T* bias_ih = nullptr;
  const T* bias_hh = nullptr;
  const T* unit[max_unit_parameters] = {};
};

// Sizes, and where things lie in a row of pre-activations.
template <class T>
struct CellSizes {
  const Kernels<T>* kernels;
  const CellKernels<T>* cell;
  Size input_size, hidden_size;
  Size output_size;    // of h: the hidden size, or what it is projected to
  bool projected;      // whether h is a product of the cell's own output
  Size padded;         // hidden units in whole vectors
  Size padded_output;  // h in whole vectors
  Storage storage;     // of the weights of products
  Compute compute;     // of products
  Activations<T> activations;

  CellSizes(const Kernels<T>& table, CellIndex index, Size input, Size hidden, Size output,
            bool projection, Storage stored = Storage::full, Compute computed = Compute::full,
            const Activations<T>& chosen = {})
      : kernels(&table),
        cell(&table.cells[static_cast<int>(index)]),
        input_size(input),
        hidden_size(hidden),
        output_size(output),
        projected(projection),
        padded(whole_vectors(hidden)),
        padded_output(whole_vectors(output)),
        storage(stored),
        compute(computed),
        activations(chosen) {}

  Size whole_vectors(Size n) const { return quotient_up(n, lanes()) * lanes(); }
  const CellShape& shape() const { return cell->shape; }
  Size lanes() const { return kernels->lanes; }
  Size weight_bytes() const { return stored_bytes<T>(packed_as(storage, compute)); }  // of one
  // Whether rows of pre-activations are made of blocks, in which several slots stand side by side.
  bool in_blocks() const { return shape().slots > 1; }
  static constexpr Size block() { return block_units<T>; }
  // Numbers of a row of pre-activations
  Size gates() const {
    return in_blocks() ? quotient_up(hidden_size, block()) * block() * shape().slots : padded;
  }
  // From row to row. A multiple of a page would put the same panel of all rows into the same few
  // sets of a cache, which then cannot hold them.
  Size gates_row() const {
    constexpr Size page = 4096 / sizeof(T);
    return gates() + (gates() % page == 0 ? lanes() : 0);
  }
  Size panel_units() const { return shape().unit_vectors * lanes(); }  // units a panel
  Size panels() const { return quotient_up(padded, panel_units()); }
  // Numbers of a panel in a row; from one panel, or a block of them, to the next
  Size panel_numbers() const { return panel_units() * shape().slots; }
  Size panel_stride() const { return in_blocks() ? block() * shape().slots : panel_units(); }
  // Panels that lie together in a row
  Size panels_together() const { return in_blocks() ? block() / lanes() : 1; }
  Size input_slots() const { return shape().input_end - shape().input_begin; }
  Size hidden_slots() const { return shape().hidden_end - shape().hidden_begin; }
  Size second_slots() const { return shape().second_end - shape().second_begin; }
  // Whether a step has two products, one after the other.
  bool two_products() const { return projected || shape().has_second(); }
  Size state_size(int state) const { return state == 0 ? output_size : hidden_size; }
  // Calls work(unit, offset, count) for the units of each panel: where the numbers of a slot lie
  // together in a row.
  template <class Work>
  void each_panel(int slot, const Work& work) const {
    each_panel(slot, {0, panels()}, work);
  }
  template <class Work>
  void each_panel(int slot, Range of_panels, const Work& work) const {
    for (Size panel = of_panels.begin; panel < of_panels.end; ++panel) {
      const Size unit = panel * panel_units();
      work(unit, offset_in_row<T>(unit, shape().slots) + slot_offset(slot),
           std::min(panel_units(), hidden_size - unit));
    }
  }
  Size slot_offset(int slot) const { return slot * block(); }
  int inner_states() const { return shape().states - 1; }
};

// What weights are packed for, besides the forward pass.
struct PackedFor {
  bool back;                             // to h and to a second product's vector
  bool back_to_input;                    // to x, unless it is indices
  bool several_readers;                  // whether several threads will read them
  std::vector<Size> input_columns = {};  // of weight_ih, those that indices choose; or all
};

// Packed for the backward pass at once: a cache must not see later changes of the parameters. Then
// the weights are rounded to what their storage can hold, and those of 16 bits are stored as they
// are; those of int8, or of products of bfloat16, are needed as such, as their products are others.
template <class T>
struct CellWeights {
  CellSizes<T> sizes;
  std::vector<Size> input_columns;  // of weight_ih, packed alone for indices; all if there are none
  Panels<T> input, hidden;          // (I or O) x slots x padded
  Panels<T> second;                 // H x slots x padded, or H x O of a projection
  // Rows of pre-activations, or nothing: the biases of slots that x alone reaches, and of the
  // others. A bias is added at the end of the last product that reaches its slot.
  Buffer<T> input_bias, bias;
  Buffer<T> unit;  // (unit blocks, padded)
  // slots x H x (I, O, H), or O x H of a projection, in panels
  BackPanels<T> input_back, hidden_back, second_back;

  CellWeights(const CellSizes<T>& cell_sizes, const CellParameters<T>& parameters, PackedFor use);

  // Columns of weight_ih that are packed.
  Size input_count() const {
    return input_columns.empty() ? sizes.input_size : static_cast<Size>(input_columns.size());
  }

 private:
  void pack_slots(const T* weight, Size columns, int slot_begin, int slot_end, Size grain,
                  Panels<T>& forward, BackPanels<T>* back) const;
  void store(Buffer<T> packed, bool back, PanelShape shape, Panels<T>& forward) const;
};

extern template struct CellWeights<float>;
extern template struct CellWeights<double>;

}  // namespace pyrnn
