// The gradients of a layer's parameters and of its input, from the gradients of its
// pre-activations.
//
// Sums over time run from the last step to the first, whatever the stretches in which they are
// taken; the first step's term of dweight_hh, which multiplies h0, is the last. They are cut into
// blocks of rows, counted from the last step on; a block that a stretch leaves open goes on in the
// next. A batch may be cut into bands of sequences, each with sums of its own, which are added up
// in their order.
#pragma once

#include <cstdint>
#include <vector>

#include "numerics.hpp"
#include "runtime/layout/band_rows.hpp"
#include "runtime/layout/saved_values.hpp"
#include "runtime/layout/schedule.hpp"
#include "runtime/walk/cell_step.hpp"

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
  Size first_step = 0;  // of the whole sequence
};

// Gradients of pre-activations, and of h where it is projected; rows in the order of what is saved.
template <class T>
struct GradientRows {
  const T* dgates;               // (rows, slots * padded)
  const T* projected = nullptr;  // (rows, padded output)
};

template <class T>
class GradientSums {
 public:
  // unit_rows: how many rows of `units()` there are; bands: of the batch,
  // summed apart
  GradientSums(const CellWeights<T>& weights, bool one_hot, const Gradients<T>& gradients,
               Size unit_rows, int bands = 1);

  // Begins with a segment of the sequence; `threads` may call `sum` at a time.
  void begin(const LayerInputs<T>& inputs, const SavedValues<T>& saved, const GradientRows<T>& rows,
             int threads);
  // Where a stretch of time that ends at `end` begins best, if it is to begin at about `begin`:
  // where a block does, or an even fraction of one.
  Size stretch_to(Size begin, Size end) const;
  // What steps [begin, end) of a band add, for some panels of units and of h; the last steps come
  // first.
  void sum(Size begin, Size end, int band, Range panels, Range outputs, int thread);
  // dx (rows, I) from row `row` on, for rows that are saved from `saved_row` on; rows.gates_apart
  // is that of what is saved
  void input_gradient(Size row, Size saved_row, const StepRows& rows, T* dx) const;
  // To be called once, after the last `sum` of a segment.
  void end();
  // Gradients of the parameters that act on units, summed over time by the steps themselves:
  // (unit rows, unit blocks, padded). A row for each sequence, so that no thread waits for another.
  T* units() { return units_.data(); }
  // To be called after a step back of some unit rows, for some panels of units; `steps` is how many
  // of the sequence, or the window, are left. Sums over time are cut into blocks as well.
  void close_units(Size steps, Range unit_rows, Range panels);
  // Adds the bands up, and brings what was saved in the core's layout into torch's.
  void finish();

 private:
  // Totals, and what their additions have lost; sums of the bundle of blocks that is open, which
  // are the totals in the first one; sums of the block that is open, which are those of its bundle
  // in the first block of each.
  struct Sums {
    T* all = nullptr;
    Size size = 0;
    Buffer<T> own, low, bundle, block;

    // What is needed when rows go on up to a block.
    void expect(OpenBlock until, bool zeros) {
      if (all == nullptr) return;
      const auto make = [&] { return zeros ? Buffer<T>::zeros(size) : Buffer<T>(size); };
      const bool bundles = until.bundle > 0;
      if (block.size() == 0 && (bundles || until.block > 0)) block = make();
      if (low.size() > 0 || !bundles) return;
      low = make();
      bundle = make();
    }
    T* of_bundle(OpenBlock open) { return open.bundle == 0 ? all : bundle.data(); }
    T* of_block(OpenBlock open) { return open.block == 0 ? of_bundle(open) : block.data(); }
  };
  // The sums of one band: the first's weights go where all shall go.
  struct Band {
    Sums weight_ih, weight_hh, weight_hr;
    Sums bias, one_hot;                  // as rows of pre-activations
    std::vector<OpenBlock> open_before;  // steps, counted from the first
  };

  Band new_band(int index) const;
  // The sequences of a band; there may be fewer bands than the schedule has.
  Range band_rows(int index) const {
    return split(inputs_.schedule->batch_size, static_cast<int>(bands_.size()), index);
  }
  void sum_bias(Band& band, const BandRows& rows, const BlockRows& block_rows, Range panels);
  void sum_one_hot(Band& band, const BandRows& rows, const BlockRows& block_rows, Range panels,
                   Size end);
  void close_one_hot(Sums& sums, const BandRows& rows, const BlockRows& block_rows, Range columns,
                     Size end);
  void sum_second(Band& band, const BandRows& rows, const BlockRows& block_rows, Range panels,
                  Range outputs, int thread);
  void add_bundle(Sums& sums, const BlockRows& block_rows, Size begin, Size count) const;
  void add_bundles(Sums& sums, const BlockRows& block_rows, Range panels, int slot_begin,
                   int slot_end, Size columns) const;
  void add_bands();
  void finish_one_hot();
  void finish_chosen(const T* from, Size count, T* to) const;
  void finish_units();
  OuterProduct<T> outer_of(const BandRows& rows, const BlockRows& block_rows, Range panels,
                           int thread);
  OuterSide<T> side_of(Sums& sums, const BlockRows& block_rows, Size columns) const;
  OuterSide<T> input_side(Band& band, const BandRows& rows, const BlockRows& block_rows) const;
  OuterSide<T> hidden_side(Band& band, const BandRows& rows, const BlockRows& block_rows) const;
  Range columns_of(Range panels) const;

  const CellWeights<T>& weights_;
  const CellSizes<T>& sizes_;
  const Gradients<T> gradients_;
  const bool one_hot_;
  const Size unit_rows_;
  LayerInputs<T> inputs_{};
  const SavedValues<T>* saved_ = nullptr;
  GradientRows<T> rows_{};
  Buffer<T> units_, units_before_, units_low_;
  std::vector<Band> bands_;
  std::vector<Buffer<T>> scratch_;
};

// dz times packed weights of the backward pass, of some slots, for rows of pre-activations'
// gradients that begin at `dgates`, for a product whose columns and C are set. Calls
// multiply(product) once or twice with all that belongs to dz and the weights filled in: for the
// whole blocks of units, and for the units that are left.
template <class T, class Multiply>
void multiply_back(const CellSizes<T>& sizes, const BackPanels<T>& weights, const T* dgates,
                   int slot_begin, Size slots, Product<T>& product, const Multiply& multiply) {
  const Size block = sizes.block(), H = sizes.hidden_size;
  const Size blocks = sizes.in_blocks() ? H / block : 0, rest = H - blocks * block;
  read_from(product, dgates + sizes.slot_offset(slot_begin), sizes.gates_row());
  const bool whole = slots == sizes.shape().slots;
  if (blocks > 0) {
    product.k_outer = whole ? 1 : blocks;
    product.k_inner = (whole ? blocks : 1) * slots * block;
    product.a_outer = sizes.panel_stride();
    weights.set_whole(product);
    multiply(product);
    go_on_in_place(product);
    product.a += blocks * sizes.panel_stride();
  }
  if (rest == 0) return;
  weights.set_rest(product, blocks * slots * block);
  product.k_outer = slots;
  product.k_inner = rest;
  product.a_outer = block;
  multiply(product);
}

// Bands whose sums pay: each of several threads can then have rows and sums of its own. What the
// sums take of memory, and of time to be added up, must be small beside what is saved for the
// backward pass and the work done on it.
template <class T>
int band_count(const CellSizes<T>& sizes, const Schedule& schedule) {
  // The same on every instruction set.
  const Size units = quotient_up(sizes.hidden_size, sizes.block()) * sizes.block();
  const Size gates = units * sizes.shape().slots;
  const Size sums = gates * (sizes.input_size + sizes.output_size);
  constexpr Size number = sizeof(T);
  if (sums * number > numerics::most_band_bytes) return 1;
  const Size saved = schedule.rows * (gates + sizes.inner_states() * units + sizes.output_size);
  const Size saved_to_sums = saved * number < numerics::much_saved_bytes
                                 ? numerics::saved_to_sums
                                 : numerics::much_saved_to_sums;
  const auto pays = [&](int bands) {
    const Size least_rows =
        bands == 2 ? numerics::least_rows_of_two_bands : numerics::least_rows_of_bands;
    return schedule.batch_size >= bands * least_rows && saved >= (bands - 1) * sums * saved_to_sums;
  };
  int bands = numerics::most_bands;
  while (bands > 1 && !pays(bands)) bands /= 2;
  return bands;
}

extern template class GradientSums<float>;
extern template class GradientSums<double>;

}  // namespace pyrnn
