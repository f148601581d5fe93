// A stack of layers that advances one step a call and keeps its state and buffers between calls.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/threads/pool.hpp"
#include "runtime/walk/cell_step.hpp"
#include "runtime/walk/noise.hpp"
#include "tuning.hpp"

namespace pyrnn {

// Some streams of a batch by their indices, or its first ones.
struct ChosenStreams {
  const std::int64_t* indices = nullptr;
  Size count = 0;

  Size operator[](Size n) const { return indices ? static_cast<Size>(indices[n]) : n; }
};

template <class T>
class Stream {
 public:
  // layers: lowest first; zoneout: for each state how much of the old value stays, or none
  Stream(std::vector<std::shared_ptr<const CellWeights<T>>> layers, Size batch_size,
         const std::vector<double>& zoneout);

  // x (batch, I) or indices (batch,) -> y (batch, O)
  void step(const InputRows<T>& x, T* y);

  // h, then the other states: (layers, batch, size) each, or (layers, chosen, size)
  void read_state(int state, T* to) { read_state(state, to, all()); }
  void read_state(int state, T* to, const ChosenStreams& chosen);
  void write_state(int state, const T* from) { write_state(state, from, all()); }
  void write_state(int state, const T* from, const ChosenStreams& chosen);
  void zero_state();

  // Whether a step is so short that releasing the interpreter would cost more than it gains.
  bool is_short() const {
    return lowest().hidden_size * output_size() * batch_size_ * layers() <
           tuning::short_step_products;
  }

  const CellSizes<T>& lowest() const { return layers_.front().weights->sizes; }
  Size output_size() const { return lowest().output_size; }
  Size batch_size() const { return batch_size_; }
  Size layers() const { return static_cast<Size>(layers_.size()); }
  ChosenStreams all() const { return {nullptr, batch_size_}; }

 private:
  struct Layer {
    std::shared_ptr<const CellWeights<T>> weights;
    // From one of them to the other at every step: (batch, O), (inner states, batch, padded)
    Buffer<T> h[2], inner[2];
    Buffer<T> gates;      // (buffer rows, slots * padded)
    Buffer<T> u;          // (buffer rows, padded)
    Size panels_at_once;  // of both products
  };

  // What one thread does at a time: some rows, and the units of one part of several.
  struct Portion {
    Range rows;
    Size buffer_row;  // of the first row, for its pre-activations
    int parts, part;
  };

  // Phases of a layer where threads share the units.
  Size layer_phases() const { return lowest().two_products() ? 2 : 1; }
  void work(const InputRows<T>& x, Size phase, int parts, int part);
  void work_on_rows(const InputRows<T>& x, int parts, int part);
  void work_on_units(const InputRows<T>& x, Size phase, int parts, int part);
  UnitRows<T> state_rows(Layer& layer, int state);
  InputRows<T> input_of(std::size_t layer, const InputRows<T>& x) const;
  StepForward<T> rows_of(Layer& layer, const Portion& portion) const;
  void first_product(Layer& layer, const InputRows<T>& x, StepForward<T>& q) const;
  static Size panels_of_both_products(const CellSizes<T>& sizes);
  void finish_step(Layer& layer, StepForward<T>& q, const Portion& portion) const;
  void zone_out_layer(const StepForward<T>& q, Range outputs, Range units) const;
  int wanted_threads() const;

  std::vector<Layer> layers_;
  Size batch_size_;
  std::vector<Zoneout<T>> zoneout_;  // of each state, or none at all
  bool by_rows_ = false;             // whether threads share the streams, or the units
  int threads_ = 1;                  // that pay
  Size rows_at_once_ = 1;            // sequences that a thread takes
  // Which of the two states is the current one. A step counts as done when this changes: if it is
  // interrupted, or the process forks, the states are as they were before it.
  int now_ = 0;
};

extern template class Stream<float>;
extern template class Stream<double>;

}  // namespace pyrnn
