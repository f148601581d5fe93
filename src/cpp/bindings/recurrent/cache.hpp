// What one call of forward keeps for one of backward, and the arrays around both.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/python/arrays.hpp"
#include "bindings/recurrent/noise.hpp"
#include "bindings/recurrent/weights.hpp"
#include "runtime/layout/packed_batch.hpp"
#include "runtime/layout/rows.hpp"
#include "runtime/walk/checkpoints.hpp"
#include "runtime/walk/walk.hpp"

namespace pyrnn {

// What one forward keeps for one backward.
template <class T>
struct Cache {
  std::shared_ptr<const CellWeights<T>> weights;
  std::shared_ptr<const std::vector<Parameter>> parameters;
  Size time_steps = 0, batch_size = 0;
  Schedule schedule;
  std::optional<PackedBatch> packed;  // of sequences of different lengths
  std::optional<RowsView<T>> x;       // or
  std::optional<IndexArray> indices;
  Buffer<T> packed_x, packed_y;
  std::vector<std::int64_t> own_indices;  // in another order, or among the columns they choose
  Buffer<T> h0, inner0;
  py::array_t<T> y = no_array<T>();
  NoiseArrays<T> noise;
  SavedValues<T> saved;
  Checkpoints<T> checkpoints;
  bool used = false;

  InputRows<T> input() const {
    InputRows<T> rows;
    if (indices) {
      rows.indices = own_indices.empty() ? indices->data() : own_indices.data();
    } else if (packed) {
      rows.dense = packed_x.data();
      rows.row = weights->sizes.input_size;
    } else {
      rows.dense = x->data;
      rows.row = x->row;
    }
    return rows;
  }

  LayerInputs<T> inputs() const {
    LayerInputs<T> inputs{};
    inputs.weights = weights.get();
    inputs.schedule = &schedule;
    inputs.x = input();
    inputs.h0 = h0.data();
    inputs.y = packed ? packed_y.data() : y.data();
    inputs.y_row = weights->sizes.output_size;
    return inputs;
  }

  void check_unused() const {
    if (used) throw std::invalid_argument("the cache was used by an earlier backward");
  }

  void use() {
    check_unused();
    used = true;
  }
};

// Fresh arrays for the gradients of a cell's parameters.
template <class T>
struct NewGradients {
  std::shared_ptr<const std::vector<Parameter>> parameters;
  std::vector<py::array_t<T>> arrays;
  Gradients<T> pointers;

  explicit NewGradients(const Cache<T>& cache) : parameters(cache.parameters) {
    ParameterPointers<T*> all;
    for (const Parameter& parameter : *parameters) {
      const std::vector<Size>& shape = parameter.shape;
      arrays.push_back(shape.size() == 2 ? empty<T>({shape[0], shape[1]}) : empty<T>({shape[0]}));
      all.by_position[parameter.position] = arrays.back().mutable_data();
    }
    pointers = all.template as<Gradients<T>>();
  }

  // In the order in which the parameters came.
  py::dict by_name() const {
    py::dict grads;
    for (std::size_t i = 0; i < arrays.size(); ++i) grads[(*parameters)[i].name] = arrays[i];
    return grads;
  }
};

// Zeros if there are none
template <class T>
using States = std::optional<std::vector<Dense<T>>>;

// States [begin, end), (N, size) each, one after the other, in the order of the packed batch.
template <class T>
Buffer<T> ordered_states(const States<T>& states, int begin, int end, Size batch, Size size,
                         const std::optional<PackedBatch>& packed) {
  const Size numbers = batch * size;
  if (!states) return Buffer<T>::zeros((end - begin) * numbers);
  Buffer<T> all((end - begin) * numbers);
  for (int s = begin; s < end; ++s) {
    const Dense<T>& state = (*states)[static_cast<std::size_t>(s)];
    require(state.ndim() == 2 && state.shape(0) == batch && state.shape(1) == size,
            "state: shapes");
    T* const to = all.data() + (s - begin) * numbers;
    if (packed) {
      gather_rows(state.data(), size, packed->sequence, size, to);
    } else {
      std::copy(state.data(), state.data() + numbers, to);
    }
  }
  return all;
}

// All states: h, and those inside the cell, which may be of another size.
template <class T>
struct OrderedStates {
  Buffer<T> h, inner;

  OrderedStates(const States<T>& states, const CellSizes<T>& sizes, Size batch,
                const std::optional<PackedBatch>& packed) {
    const int count = sizes.shape().states;
    require(!states || static_cast<int>(states->size()) == count, "state: how many");
    h = ordered_states(states, 0, 1, batch, sizes.output_size, packed);
    inner = ordered_states(states, 1, count, batch, sizes.hidden_size, packed);
  }
};

// The inverse of `ordered_states`, into new arrays.
template <class T>
py::tuple state_arrays(const T* h, const T* inner, const CellSizes<T>& sizes, Size batch,
                       const std::optional<PackedBatch>& packed) {
  const int states = sizes.shape().states;
  py::tuple arrays(static_cast<std::size_t>(states));
  for (int s = 0; s < states; ++s) {
    const Size size = sizes.state_size(s);
    const T* const from = s == 0 ? h : inner + (s - 1) * batch * size;
    auto array = empty<T>({batch, size});
    if (packed) {
      scatter_rows(from, packed->sequence, size, array.mutable_data());
    } else {
      std::copy(from, from + batch * size, array.mutable_data());
    }
    arrays[static_cast<std::size_t>(s)] = array;
  }
  return arrays;
}

// The last h of every sequence: its row at its own last step.
template <class T>
void last_rows(const T* y, Size y_row, const Schedule& schedule, Size H, T* to) {
  schedule.each_last_row([&](Size step, Size n) {
    copy_rows(y + (schedule.first_of(step) + n) * y_row, y_row, to + n * H, H, 1, H);
  });
}

}  // namespace pyrnn
