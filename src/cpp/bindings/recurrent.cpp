// Recurrent cells over time: packed weights, the walk forward, the cache and the walk back.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/weights.hpp"
#include "runtime/packed_batch.hpp"
#include "runtime/walk.hpp"
#include "runtime/windows.hpp"

namespace pyrnn {
namespace {

// What one forward keeps for one backward.
template <class T>
struct Cache {
  std::shared_ptr<const CellWeights<T>> weights;
  bool bias = false;
  Size time_steps = 0, batch_size = 0;
  Schedule schedule;
  std::optional<PackedBatch> packed;  // of sequences of different lengths
  std::optional<RowsView<T>> x;       // or
  std::optional<IndexArray> indices;
  Buffer<T> packed_x, packed_y;
  std::vector<std::int64_t> packed_indices;
  Buffer<T> h0;
  py::array_t<T> y;
  Kept<T> kept;
  bool used = false;

  InputRows<T> input() const {
    InputRows<T> rows;
    if (indices) {
      rows.indices = packed ? packed_indices.data() : indices->data();
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
    const T* const rows = packed ? packed_y.data() : y.data();
    return {weights.get(), &schedule, input(), h0.data(), rows, weights->sizes.hidden_size};
  }

  void use() {
    if (used) throw std::invalid_argument("the cache was used by an earlier backward");
    used = true;
  }
};

// Fresh arrays for the gradients of a cell's parameters.
template <class T>
struct NewGradients {
  py::array_t<T> weight_ih, weight_hh;
  std::optional<py::array_t<T>> bias_ih, bias_hh;

  explicit NewGradients(const Cache<T>& cache) {
    const CellSizes<T>& sizes = cache.weights->sizes;
    const Size rows = sizes.shape().gates * sizes.hidden_size;
    weight_ih = empty<T>({rows, sizes.input_size});
    weight_hh = empty<T>({rows, sizes.hidden_size});
    if (!cache.bias) return;
    bias_ih = empty<T>({rows});
    bias_hh = empty<T>({rows});
  }

  Gradients<T> pointers() {
    return {weight_ih.mutable_data(), weight_hh.mutable_data(),
            bias_ih ? bias_ih->mutable_data() : nullptr,
            bias_hh ? bias_hh->mutable_data() : nullptr};
  }

  py::dict by_name() const {
    py::dict grads;
    grads["weight_ih"] = weight_ih;
    grads["weight_hh"] = weight_hh;
    if (bias_ih) {
      grads["bias_ih"] = *bias_ih;
      grads["bias_hh"] = *bias_hh;
    }
    return grads;
  }
};

// States (N, H) each, one after the other, in the order of the packed batch.
template <class T>
Buffer<T> ordered_states(const std::vector<Dense<T>>& states, std::size_t begin, Size batch, Size H,
                         const std::optional<PackedBatch>& packed) {
  Buffer<T> all(static_cast<Size>(states.size() - begin) * batch * H);
  for (std::size_t s = begin; s < states.size(); ++s) {
    require(states[s].ndim() == 2 && states[s].shape(0) == batch && states[s].shape(1) == H,
            "state: shapes");
    T* const to = all.data() + static_cast<Size>(s - begin) * batch * H;
    if (packed) {
      gather_rows(states[s].data(), H, packed->sequence, H, to);
    } else {
      std::copy(states[s].data(), states[s].data() + batch * H, to);
    }
  }
  return all;
}

// The way back of `ordered_states`, into fresh arrays.
template <class T>
py::tuple state_arrays(const T* h, const T* inner, Size states, Size batch, Size H,
                       const std::optional<PackedBatch>& packed) {
  py::tuple arrays(static_cast<std::size_t>(states));
  for (Size s = 0; s < states; ++s) {
    const T* const from = s == 0 ? h : inner + (s - 1) * batch * H;
    auto array = empty<T>({batch, H});
    if (packed) {
      scatter_rows(from, packed->sequence, H, array.mutable_data(), H);
    } else {
      std::copy(from, from + batch * H, array.mutable_data());
    }
    arrays[static_cast<std::size_t>(s)] = array;
  }
  return arrays;
}

// The last h of every sequence: its row at its own last step.
template <class T>
void last_rows(const T* y, Size y_row, const Schedule& schedule, Size H, T* to) {
  for (Size step = 0; step < schedule.steps(); ++step) {
    const auto at = static_cast<std::size_t>(step);
    const Size next = step + 1 < schedule.steps() ? schedule.count[at + 1] : 0;
    for (Size n = next; n < schedule.count[at]; ++n)
      std::copy(y + (schedule.first[at] + n) * y_row, y + (schedule.first[at] + n) * y_row + H,
                to + n * H);
  }
}

template <class T>
struct Inputs {
  std::shared_ptr<Cache<T>> cache;  // holds them whether or not it outlives the call
  Buffer<T> inner0;
};

template <class T>
Inputs<T> read_inputs(Weights<T>& weights, const py::array& x, const std::vector<Dense<T>>& state,
                      const std::optional<Dense<Size>>& lengths, bool reverse, bool keep) {
  auto cache = std::make_shared<Cache<T>>();
  cache->weights = weights.packed(keep);
  cache->bias = weights.has_bias();
  const CellSizes<T>& sizes = cache->weights->sizes;
  if (py::isinstance<py::array_t<T>>(x)) {
    require(x.ndim() == 3 && x.shape(2) == sizes.input_size, "x: shapes");
    cache->x.emplace(py::reinterpret_borrow<py::array_t<T>>(x));
  } else {
    require(x.ndim() == 2, "x: shapes");
    cache->indices.emplace(IndexArray::ensure(x));
  }
  cache->time_steps = x.shape(0);
  cache->batch_size = x.shape(1);
  const Size batch = cache->batch_size, H = sizes.hidden_size;
  if (lengths) {
    require(lengths->ndim() == 1 && lengths->shape(0) == batch, "lengths: shapes");
    cache->packed.emplace(lengths->data(), batch, reverse);
    const std::vector<Size>& source = cache->packed->source;
    if (cache->x) {
      cache->packed_x = Buffer<T>(cache->packed->schedule.rows * sizes.input_size);
      gather_rows(cache->x->data, cache->x->row, source, sizes.input_size, cache->packed_x.data());
    } else {
      for (Size row : source) cache->packed_indices.push_back(cache->indices->data()[row]);
    }
    cache->schedule = cache->packed->schedule;
  } else {
    cache->schedule = Schedule::uniform(cache->time_steps, batch, reverse);
  }
  require(static_cast<int>(state.size()) == sizes.shape().states, "state: how many");
  cache->h0 = ordered_states<T>({state[0]}, 0, batch, H, cache->packed);
  return {cache, ordered_states<T>(state, 1, batch, H, cache->packed)};
}

// x (T, N, I) or indices (T, N), states (N, H) -> y (T, N, H), states, cache or None
template <class T>
py::tuple forward(Weights<T>& weights, const py::array& x, const std::vector<Dense<T>>& state,
                  const std::optional<Dense<Size>>& lengths, bool reverse, bool keep) {
  Inputs<T> inputs = read_inputs(weights, x, state, lengths, reverse, keep);
  const std::shared_ptr<Cache<T>>& cache = inputs.cache;
  const CellSizes<T>& sizes = cache->weights->sizes;
  const Size H = sizes.hidden_size, batch = cache->batch_size;
  cache->y = empty<T>({cache->time_steps, batch, H});
  T* const y = cache->y.mutable_data();
  Buffer<T> h_last(batch * H), inner_last(sizes.inner_states() * batch * H);
  {
    const py::gil_scoped_release release;
    if (cache->packed) cache->packed_y = Buffer<T>(cache->schedule.rows * H);
    T* const rows = cache->packed ? cache->packed_y.data() : y;
    const Forward<T> call{cache->weights.get(),
                          &cache->schedule,
                          cache->input(),
                          cache->h0.data(),
                          inputs.inner0.data(),
                          rows,
                          H,
                          inner_last.data()};
    walk_forward(call, keep ? &cache->kept : nullptr);
    last_rows(rows, H, cache->schedule, H, h_last.data());
    if (cache->packed) {
      std::fill(y, y + cache->time_steps * batch * H, T(0));
      scatter_rows(rows, cache->packed->source, H, y, H);
    }
  }
  const py::tuple states =
      state_arrays(h_last.data(), inner_last.data(), sizes.shape().states, batch, H, cache->packed);
  return py::make_tuple(cache->y, states, keep ? py::cast(cache) : py::none());
}

// dy (T, N, H), states' gradients (N, H) -> dx or None, states' gradients, gradients by name
template <class T>
py::tuple backward(Cache<T>& cache, const py::array_t<T>& dy, const std::vector<Dense<T>>& dstate) {
  cache.use();
  const CellSizes<T>& sizes = cache.weights->sizes;
  const CellShape& shape = sizes.shape();
  const Size H = sizes.hidden_size, I = sizes.input_size, batch = cache.batch_size;
  require(
      dy.ndim() == 3 && dy.shape(0) == cache.time_steps && dy.shape(1) == batch && dy.shape(2) == H,
      "dy: shapes");
  require(static_cast<int>(dstate.size()) == shape.states, "dstate: how many");
  const RowsView<T> dy_rows(dy);
  const Buffer<T> dh_last = ordered_states<T>({dstate[0]}, 0, batch, H, cache.packed);
  const Buffer<T> dinner_last = ordered_states<T>(dstate, 1, batch, H, cache.packed);
  Buffer<T> dh0(batch * H), dinner0(sizes.inner_states() * batch * H);
  const bool dense = !cache.indices;
  auto dx = dense ? empty<T>({cache.time_steps, batch, I}) : py::array_t<T>();
  Backward<T> call{};
  call.inputs = cache.inputs();
  call.dy = dy_rows.data;
  call.dy_row = dy_rows.row;
  call.dh_last = dh_last.data();
  call.dinner_last = dinner_last.data();
  call.dx = dense ? dx.mutable_data() : nullptr;
  call.dh0 = dh0.data();
  call.dinner0 = dinner0.data();
  NewGradients<T> gradients(cache);
  call.gradients = gradients.pointers();
  {
    const py::gil_scoped_release release;
    Buffer<T> packed_dy, packed_dx;
    if (cache.packed) {
      packed_dy = Buffer<T>(cache.schedule.rows * H);
      gather_rows(dy_rows.data, dy_rows.row, cache.packed->source, H, packed_dy.data());
      call.dy = packed_dy.data();
      call.dy_row = H;
      if (dense) packed_dx = Buffer<T>(cache.schedule.rows * I);
      T* const padded_dx = call.dx;
      call.dx = dense ? packed_dx.data() : nullptr;
      walk_backward(call, cache.kept);
      if (dense) {
        std::fill(padded_dx, padded_dx + cache.time_steps * batch * I, T(0));
        scatter_rows(packed_dx.data(), cache.packed->source, I, padded_dx, I);
      }
    } else {
      walk_backward(call, cache.kept);
    }
    cache.kept = Kept<T>{};
  }
  py::object dx_or_none = py::none();
  if (dense) dx_or_none = dx;
  return py::make_tuple(
      dx_or_none, state_arrays(dh0.data(), dinner0.data(), shape.states, batch, H, cache.packed),
      gradients.by_name());
}

// Truncated: caches of a stack, lowest first; masks (T, N, H) or None
// -> dx or None, a dict of gradients for each layer
template <class T>
py::tuple backward_windows(const std::vector<std::shared_ptr<Cache<T>>>& caches,
                           const py::array_t<T>& dy, Size k1, Size k2,
                           const std::vector<std::optional<Dense<T>>>& masks) {
  require(!caches.empty() && masks.size() == caches.size() && k1 >= 1 && k2 >= k1, "windows");
  const Cache<T>& lowest = *caches.front();
  const Size batch = lowest.batch_size, steps = lowest.time_steps;
  require(dy.ndim() == 3 && dy.shape(0) == steps && dy.shape(1) == batch &&
              dy.shape(2) == caches.back()->weights->sizes.hidden_size,
          "dy: shapes");
  const RowsView<T> dy_rows(dy);
  std::vector<NewGradients<T>> gradients;
  for (const auto& cache : caches) gradients.emplace_back(*cache);
  std::vector<WindowLayer<T>> layers;
  for (std::size_t i = 0; i < caches.size(); ++i) {
    require(!caches[i]->packed, "windows need equal lengths");
    caches[i]->use();
    layers.push_back({caches[i]->inputs(), &caches[i]->kept, masks[i] ? masks[i]->data() : nullptr,
                      gradients[i].pointers()});
  }
  py::object dx = py::none();
  T* dx_data = nullptr;
  if (!lowest.indices) {
    auto array = empty<T>({steps, batch, lowest.weights->sizes.input_size});
    dx_data = array.mutable_data();
    dx = array;
  }
  {
    const py::gil_scoped_release release;
    walk_windows(layers, dy_rows.data, dy_rows.row, dx_data, k1, k2);
    for (const auto& cache : caches) cache->kept = Kept<T>{};
  }
  py::list by_layer;
  for (const NewGradients<T>& layer : gradients) by_layer.append(layer.by_name());
  return py::make_tuple(dx, by_layer);
}

template <class T>
void bind_all(py::module_& module, const std::string& suffix) {
  py::class_<Cache<T>, std::shared_ptr<Cache<T>>>(module, ("Cache" + suffix).c_str())
      .def("backward", &backward<T>, py::arg("dy").noconvert(), py::arg("dstate"));
  py::class_<Weights<T>>(module, ("Weights" + suffix).c_str())
      .def(py::init<const std::string&, const Dense<T>&, const Dense<T>&,
                    const std::optional<Dense<T>>&, const std::optional<Dense<T>>&>(),
           py::arg("cell"), py::arg("weight_ih").noconvert(), py::arg("weight_hh").noconvert(),
           py::arg("bias_ih").noconvert(), py::arg("bias_hh").noconvert())
      .def("pack", [](Weights<T>& weights) { weights.packed(false); })
      .def("forward", &forward<T>, py::arg("x").noconvert(), py::arg("state"), py::arg("lengths"),
           py::arg("reverse"), py::arg("keep"));
  module.def("backward_windows", &backward_windows<T>, py::arg("caches"), py::arg("dy").noconvert(),
             py::arg("k1"), py::arg("k2"), py::arg("masks"));
}

}  // namespace

void bind_recurrent(py::module_& module) {
  bind_all<float>(module, "Float32");
  bind_all<double>(module, "Float64");
}

}  // namespace pyrnn
