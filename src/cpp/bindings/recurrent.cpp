// Recurrent cells over time: packed weights, the walk forward, the cache and the walk back.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/cache.hpp"
#include "runtime/windows.hpp"

namespace pyrnn {
namespace {

template <class T>
struct Inputs {
  std::shared_ptr<Cache<T>> cache;  // holds them whether or not it outlives the call
  Buffer<T> inner0;
};

template <class T>
Inputs<T> read_inputs(Weights<T>& weights, const py::array& x, const States<T>& state,
                      const std::optional<Dense<Size>>& lengths, bool reverse, bool keep,
                      Size checkpoint, const py::object& noise) {
  auto cache = std::make_shared<Cache<T>>();
  cache->parameters = weights.parameters;
  cache->checkpoints.steps = keep ? checkpoint : 0;
  const bool dense = py::isinstance<py::array_t<T>>(x);
  require(x.ndim() == (dense ? 3 : 2), "x: shapes");
  cache->weights = weights.packed(keep, x.shape(1), x.shape(0));
  const CellSizes<T>& sizes = cache->weights->sizes;
  if (dense) {
    require(x.shape(2) == sizes.input_size, "x: shapes");
    cache->x.emplace(py::reinterpret_borrow<py::array_t<T>>(x));
  } else {
    cache->indices.emplace(IndexArray::ensure(x));
  }
  cache->time_steps = x.shape(0);
  cache->batch_size = x.shape(1);
  const Size batch = cache->batch_size;
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
    cache->schedule.bands = band_count(sizes, cache->schedule);
  }
  OrderedStates<T> first(state, sizes, batch, cache->packed);
  cache->h0 = std::move(first.h);
  cache->noise = NoiseArrays<T>(noise, sizes, cache->time_steps, batch, cache->packed);
  return {cache, std::move(first.inner)};
}

// Runs over time: all of it kept, checkpoints, or nothing.
template <class T>
void run(Cache<T>& cache, const Forward<T>& call, bool keep) {
  if (!keep) {
    walk_forward(call, static_cast<Kept<T>*>(nullptr));
  } else if (cache.checkpoints.steps > 0) {
    walk_forward(call, cache.checkpoints);
  } else {
    walk_forward(call, &cache.kept);
  }
}

// x (T, N, I) or indices (T, N), states (N, size) -> y (T, N, O), states, cache or None
template <class T>
py::tuple forward(Weights<T>& weights, const py::array& x, const States<T>& state,
                  const std::optional<Dense<Size>>& lengths, bool reverse, bool keep,
                  Size checkpoint, const py::object& noise) {
  Inputs<T> inputs = read_inputs(weights, x, state, lengths, reverse, keep, checkpoint, noise);
  const std::shared_ptr<Cache<T>>& cache = inputs.cache;
  const CellSizes<T>& sizes = cache->weights->sizes;
  const Size O = sizes.output_size, batch = cache->batch_size;
  cache->y = empty<T>({cache->time_steps, batch, O});
  T* const y = cache->y.mutable_data();
  Buffer<T> h_last(batch * O), inner_last(sizes.inner_states() * batch * sizes.hidden_size);
  {
    const py::gil_scoped_release release;
    if (cache->packed) cache->packed_y = Buffer<T>(cache->schedule.rows * O);
    T* const rows = cache->packed ? cache->packed_y.data() : y;
    const Forward<T> call{cache->weights.get(),
                          &cache->schedule,
                          cache->input(),
                          cache->h0.data(),
                          inputs.inner0.data(),
                          rows,
                          O,
                          inner_last.data(),
                          cache->noise.pointers()};
    run(*cache, call, keep);
    last_rows(rows, O, cache->schedule, O, h_last.data());
    if (cache->packed) unpack_rows(*cache->packed, rows, cache->time_steps, O, y);
  }
  const py::tuple states =
      state_arrays(h_last.data(), inner_last.data(), sizes, batch, cache->packed);
  return py::make_tuple(cache->y, states, keep ? py::cast(cache) : py::none());
}

// Walks back over all that was kept, or over what its checkpoints give again.
template <class T>
void run_back(Cache<T>& cache, const Backward<T>& call, GradientSums<T>& sums) {
  if (cache.checkpoints.steps > 0) {
    T* const y = cache.packed ? cache.packed_y.data() : cache.writable_y();
    walk_backward(call, cache.checkpoints, y, sums);
  } else {
    walk_backward(call, cache.kept, sums);
  }
  sums.finish();
}

// dy (T, N, O), states' gradients (N, size) -> dx or None, states' gradients, gradients by name
template <class T>
py::tuple backward(Cache<T>& cache, const py::array_t<T>& dy, const States<T>& dstate) {
  cache.use();
  const CellSizes<T>& sizes = cache.weights->sizes;
  const Size H = sizes.hidden_size, O = sizes.output_size, I = sizes.input_size;
  const Size batch = cache.batch_size;
  require(
      dy.ndim() == 3 && dy.shape(0) == cache.time_steps && dy.shape(1) == batch && dy.shape(2) == O,
      "dy: shapes");
  const RowsView<T> dy_rows(dy);
  const OrderedStates<T> last(dstate, sizes, batch, cache.packed);
  Buffer<T> dh0(batch * O), dinner0(sizes.inner_states() * batch * H);
  const bool dense = !cache.indices;
  auto dx = dense ? empty<T>({cache.time_steps, batch, I}) : py::array_t<T>();
  Backward<T> call{};
  call.inputs = cache.inputs();
  call.dy = dy_rows.data;
  call.dy_row = dy_rows.row;
  call.dh_last = last.h.data();
  call.dinner_last = last.inner.data();
  call.dx = dense ? dx.mutable_data() : nullptr;
  call.dh0 = dh0.data();
  call.dinner0 = dinner0.data();
  call.noise = cache.noise.pointers();
  const NewGradients<T> gradients(cache);
  {
    const py::gil_scoped_release release;
    GradientSums<T> sums(sizes, !dense, gradients.pointers, batch, cache.schedule.bands);
    Buffer<T> packed_dy, packed_dx;
    if (cache.packed) {
      packed_dy = Buffer<T>(cache.schedule.rows * O);
      gather_rows(dy_rows.data, dy_rows.row, cache.packed->source, O, packed_dy.data());
      call.dy = packed_dy.data();
      call.dy_row = O;
      if (dense) packed_dx = Buffer<T>(cache.schedule.rows * I);
      T* const padded_dx = call.dx;
      call.dx = dense ? packed_dx.data() : nullptr;
      run_back(cache, call, sums);
      if (dense) unpack_rows(*cache.packed, packed_dx.data(), cache.time_steps, I, padded_dx);
    } else {
      run_back(cache, call, sums);
    }
    cache.kept = Kept<T>{};
    cache.checkpoints = Checkpoints<T>{};
  }
  py::object dx_or_none = py::none();
  if (dense) dx_or_none = dx;
  return py::make_tuple(dx_or_none,
                        state_arrays(dh0.data(), dinner0.data(), sizes, batch, cache.packed),
                        gradients.by_name());
}

// What checkpoints left out is computed again.
template <class T>
void keep_all(Cache<T>& cache) {
  if (cache.checkpoints.steps == 0) return;
  const CellSizes<T>& sizes = cache.weights->sizes;
  Buffer<T> inner_last(sizes.inner_states() * cache.batch_size * sizes.hidden_size);
  const Forward<T> call{cache.weights.get(),
                        &cache.schedule,
                        cache.input(),
                        cache.h0.data(),
                        cache.checkpoints.inner.front().data(),
                        cache.writable_y(),
                        sizes.output_size,
                        inner_last.data(),
                        cache.noise.pointers()};
  walk_forward(call, &cache.kept);
  cache.checkpoints = Checkpoints<T>{};
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
              dy.shape(2) == caches.back()->weights->sizes.output_size,
          "dy: shapes");
  const RowsView<T> dy_rows(dy);
  std::vector<NewGradients<T>> gradients;
  for (const auto& cache : caches) gradients.emplace_back(*cache);
  std::vector<WindowLayer<T>> layers;
  for (std::size_t i = 0; i < caches.size(); ++i) {
    require(!caches[i]->packed, "windows need equal lengths");
    caches[i]->use();
    layers.push_back({caches[i]->inputs(), &caches[i]->kept, masks[i] ? masks[i]->data() : nullptr,
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
    const py::gil_scoped_release release;
    // Windows look at all steps, and at all sequences of one at once.
    for (const auto& cache : caches) {
      keep_all(*cache);
      join_slices(cache->kept, cache->weights->sizes, cache->schedule);
    }
    walk_windows(layers, dy_rows.data, dy_rows.row, dx_data, k1, k2);
    for (const auto& cache : caches) cache->kept = Kept<T>{};
  }
  py::list by_layer;
  for (const NewGradients<T>& layer : gradients) by_layer.append(layer.by_name());
  return py::make_tuple(dx, by_layer);
}

template <class T>
void bind_all(py::module_& module, const std::string& suffix) {
  py::class_<Cache<T>, std::shared_ptr<Cache<T>>>(module, ("Cache" + suffix).c_str());
  py::class_<Weights<T>>(module, ("Weights" + suffix).c_str())
      .def(py::init<const std::string&, const py::dict&, const std::string&, bool>(),
           py::arg("cell"), py::arg("parameters"), py::arg("suffix") = "",
           py::arg("follow") = false);
  module.def("forward", &forward<T>, py::arg("weights"), py::arg("x").noconvert(),
             py::arg("state") = py::none(), py::arg("lengths") = py::none(),
             py::arg("reverse") = false, py::arg("keep") = false, py::arg("checkpoint") = 0,
             py::arg("noise") = py::none());
  module.def("backward", &backward<T>, py::arg("saved"), py::arg("dy").noconvert(),
             py::arg("dstate"));
  module.def("backward_windows", &backward_windows<T>, py::arg("caches"), py::arg("dy").noconvert(),
             py::arg("k1"), py::arg("k2"), py::arg("masks"));
}

}  // namespace

void bind_recurrent(py::module_& module) {
  bind_all<float>(module, "Float32");
  bind_all<double>(module, "Float64");
}

}  // namespace pyrnn
