// Recurrent cells over time: packed weights, the forward pass, the cache and the backward pass.
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python/unlisted.hpp"
#include "bindings/recurrent/calls.hpp"
#include "runtime/walk/windows.hpp"

namespace pyrnn {
namespace {

// Of the two directions of a layer.
template <class Item>
using Pair = std::array<Item, 2>;

template <class T>
py::tuple forward(Weights<T>& weights, const py::array& x, const States<T>& state,
                  const std::optional<Dense<Size>>& lengths, bool reverse, bool keep,
                  Size checkpoint, const py::object& noise) {
  ForwardCall<T> call(weights, x, state, {lengths, keep, checkpoint}, reverse, noise);
  {
    const Computing computing;
    call.run();
  }
  return call.results();
}

// The same for the two directions of a layer, the second one reversed: a pair of each
template <class T>
py::tuple forward_both(const Pair<Weights<T>*>& weights, const py::array& x,
                       const Pair<States<T>>& states, const std::optional<Dense<Size>>& lengths,
                       bool keep, Size checkpoint, const Pair<py::object>& noise) {
  require(weights[0] != nullptr && weights[1] != nullptr && x.ndim() >= 2, "weights, x");
  const bool at_once = directions_at_once(weights[0]->sizes, x.shape(1), x.shape(0), num_threads());
  const ForwardOptions options{lengths, keep, checkpoint};
  ForwardCall<T> ahead(*weights[0], x, states[0], options, false, noise[0], at_once);
  ForwardCall<T> back(*weights[1], x, states[1], options, true, noise[1], at_once);
  run_both<ForwardCall<T>>({&ahead, &back}, at_once);
  return py::make_tuple(ahead.results(), back.results());
}

template <class T>
py::tuple backward(Cache<T>& cache, const py::array_t<T>& dy, const States<T>& dstate,
                   bool with_dx) {
  BackwardCall<T> call(cache, dy, dstate, with_dx);
  call.use_cache();
  {
    const Computing computing;
    call.run();
  }
  return call.results();
}

// The same for the two directions of a layer: a pair of each
template <class T>
py::tuple backward_both(const Pair<std::shared_ptr<Cache<T>>>& saved,
                        const Pair<py::array_t<T>>& dy, const Pair<States<T>>& dstate,
                        bool with_dx) {
  require(saved[0] != nullptr && saved[1] != nullptr && saved[0] != saved[1], "saved");
  const Cache<T>& first = *saved[0];
  const bool at_once =
      directions_at_once(first.weights->sizes, first.batch_size, first.time_steps, num_threads());
  BackwardCall<T> ahead(*saved[0], dy[0], dstate[0], with_dx);
  BackwardCall<T> back(*saved[1], dy[1], dstate[1], with_dx);
  ahead.use_cache();
  back.use_cache();
  // What was saved last is nearest.
  run_both<BackwardCall<T>>({&back, &ahead}, at_once);
  return py::make_tuple(ahead.results(), back.results());
}

// What checkpoints left out is computed again; not into y, which others may be reading.
template <class T>
void keep_all(Cache<T>& cache) {
  if (cache.checkpoints.steps == 0) return;
  const CellSizes<T>& sizes = cache.weights->sizes;
  Buffer<T> inner_last(sizes.inner_states() * cache.batch_size * sizes.hidden_size);
  Buffer<T> y(cache.schedule.rows * sizes.output_size);
  const Forward<T> call{cache.weights.get(),
                        &cache.schedule,
                        cache.input(),
                        cache.h0.data(),
                        cache.checkpoints.inner.front().data(),
                        y.data(),
                        sizes.output_size,
                        inner_last.data(),
                        cache.noise.pointers()};
  walk_forward(call, &cache.saved);
  cache.checkpoints = Checkpoints<T>{};
}

// Makes a cache serve once more, with the weights, the noise and the input of its forward: runs
// that again, into outputs of its own, since what was in the old ones may have been changed.
template <class T>
void renew(Cache<T>& cache) {
  const CellSizes<T>& sizes = cache.weights->sizes;
  const Size O = sizes.output_size;
  if (cache.packed) {
    cache.packed_y = Buffer<T>(cache.schedule.rows * O);
  } else {
    cache.y = empty<T>({cache.time_steps, cache.batch_size, O});
  }
  T* const rows = cache.packed ? cache.packed_y.data() : cache.y.mutable_data();
  Buffer<T> inner_last(sizes.inner_states() * cache.batch_size * sizes.hidden_size);
  {
    const Computing computing;
    walk_forward({cache.weights.get(), &cache.schedule, cache.input(), cache.h0.data(),
                  cache.inner0.data(), rows, O, inner_last.data(), cache.noise.pointers()},
                 &cache.saved);
  }
  cache.checkpoints = Checkpoints<T>{};
  cache.used = false;
}

// Of a stack, lowest first: each cache is of a layer that takes what the one below gives.
template <class T>
void check_stack(const std::vector<std::shared_ptr<Cache<T>>>& caches,
                 const std::vector<std::optional<Dense<T>>>& masks) {
  for (std::size_t i = 0; i < caches.size(); ++i) {
    require(caches[i] != nullptr, "caches: none");
    const Cache<T>& cache = *caches[i];
    const Cache<T>& below = i == 0 ? cache : *caches[i - 1];
    cache.check_unused();
    require(cache.time_steps == below.time_steps && cache.batch_size == below.batch_size &&
                cache.schedule.rows == below.schedule.rows,
            "windows need the same lengths");
    require(i == 0 || (cache.weights->sizes.input_size == below.weights->sizes.output_size &&
                       !cache.indices),
            "caches: expected those of a stack");
    const std::optional<Dense<T>>& mask = masks[i];
    require(!mask || (mask->ndim() == 3 && mask->shape(0) == cache.time_steps &&
                      mask->shape(1) == cache.batch_size &&
                      mask->shape(2) == cache.weights->sizes.output_size),
            "masks: shapes");
  }
}

// Truncated: caches of a stack, lowest first; masks (T, N, H) or None
// -> dx or None, a dict of gradients for each layer
template <class T>
py::tuple backward_windows(const std::vector<std::shared_ptr<Cache<T>>>& caches,
                           const py::array_t<T>& dy, Size k1, Size k2,
                           const std::vector<std::optional<Dense<T>>>& masks) {
  require(!caches.empty() && masks.size() == caches.size() && k1 >= 1 && k2 >= k1, "windows");
  check_stack(caches, masks);
  const Cache<T>& lowest = *caches.front();
  const Size batch = lowest.batch_size, steps = lowest.time_steps;
  require(dy.ndim() == 3 && dy.shape(0) == steps && dy.shape(1) == batch &&
              dy.shape(2) == caches.back()->weights->sizes.output_size,
          "dy: shapes");
  const RowsView<T> dy_rows(dy);
  const std::optional<PackedBatch>& packed = lowest.packed;
  std::vector<NewGradients<T>> gradients;
  for (const auto& cache : caches) gradients.emplace_back(*cache);
  std::vector<WindowLayer<T>> layers;
  for (std::size_t i = 0; i < caches.size(); ++i) {
    caches[i]->use();
    layers.push_back({caches[i]->inputs(), &caches[i]->saved, masks[i] ? masks[i]->data() : nullptr,
                      gradients[i].pointers, caches[i]->noise.pointers()});
  }
  py::object dx = py::none();
  T* dx_data = nullptr;
  if (!lowest.indices) {
    auto array = empty<T>({steps, batch, lowest.weights->sizes.input_size});
    dx_data = array.mutable_data();
    dx = array;
  }
  {
    const Computing computing;
    const Size rows = lowest.schedule.rows, I = lowest.weights->sizes.input_size;
    const Size O = caches.back()->weights->sizes.output_size;
    Buffer<T> packed_dy, packed_dx;
    std::vector<Buffer<T>> packed_masks;
    if (packed) {
      packed_dy = Buffer<T>(rows * O);
      gather_rows(dy_rows.data, dy_rows.row, packed->source, O, packed_dy.data());
      if (dx_data != nullptr) packed_dx = Buffer<T>(rows * I);
      for (WindowLayer<T>& layer : layers) {
        if (layer.mask == nullptr) continue;
        const Size columns = layer.inputs.weights->sizes.output_size;
        packed_masks.emplace_back(rows * columns);
        gather_rows(layer.mask, columns, packed->source, columns, packed_masks.back().data());
        layer.mask = packed_masks.back().data();
      }
    }
    // Windows look at all steps, and at all sequences of one at once.
    for (const auto& cache : caches) {
      keep_all(*cache);
      join_slices(cache->saved, cache->weights->sizes, cache->schedule);
    }
    if (packed) {
      walk_windows(layers, packed_dy.data(), O, dx_data == nullptr ? nullptr : packed_dx.data(), k1,
                   k2);
      if (dx_data != nullptr) unpack_rows(*packed, packed_dx.data(), steps, I, dx_data);
    } else {
      walk_windows(layers, dy_rows.data, dy_rows.row, dx_data, k1, k2);
    }
    for (const auto& cache : caches) cache->saved = SavedValues<T>{};
  }
  py::list by_layer;
  for (const NewGradients<T>& layer : gradients) by_layer.append(layer.by_name());
  return py::make_tuple(dx, by_layer);
}

template <class T>
void bind_all(py::module_& module, const std::string& suffix) {
  py::class_<Cache<T>, std::shared_ptr<Cache<T>>>(module, ("Cache" + suffix).c_str());
  py::class_<Weights<T>>(module, ("Weights" + suffix).c_str())
      .def(py::init<const std::string&, const py::dict&, const std::string&, bool,
                    const std::string&, const std::vector<double>&, const std::string&>(),
           py::arg("cell"), py::arg("parameters"), py::arg("suffix") = "",
           py::arg("follow") = false, py::arg("storage") = "full",
           py::arg("activations") = std::vector<double>(), py::arg("compute") = "full");
  leave_unlisted<Cache<T>>();
  leave_unlisted<Weights<T>>();
  module.def("forward", &forward<T>, py::arg("weights"), py::arg("x").noconvert(),
             py::arg("state") = py::none(), py::arg("lengths") = py::none(),
             py::arg("reverse") = false, py::arg("keep") = false, py::arg("checkpoint") = 0,
             py::arg("noise") = py::none());
  module.def("forward_both", &forward_both<T>, py::arg("weights"), py::arg("x").noconvert(),
             py::arg("states"), py::arg("lengths"), py::arg("keep"), py::arg("checkpoint"),
             py::arg("noise"));
  module.def("backward", &backward<T>, py::arg("saved"), py::arg("dy").noconvert(),
             py::arg("dstate"), py::arg("with_dx") = true);
  module.def("backward_both", &backward_both<T>, py::arg("saved"), py::arg("dy").noconvert(),
             py::arg("dstates"), py::arg("with_dx") = true);
  module.def("renew", &renew<T>, py::arg("saved"));
  module.def("backward_windows", &backward_windows<T>, py::arg("caches"), py::arg("dy").noconvert(),
             py::arg("k1"), py::arg("k2"), py::arg("masks"));
}

}  // namespace

void bind_recurrent(py::module_& module) {
  bind_all<float>(module, "Float32");
  bind_all<double>(module, "Float64");
}

}  // namespace pyrnn
