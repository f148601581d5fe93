// One direction of a layer, forward and backward: what Python gives, the computation, which needs
// no Python, and what Python gets. Two directions may be computed at once.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bindings/python/computing.hpp"
#include "bindings/recurrent/cache.hpp"
#include "runtime/layout/one_hot.hpp"
#include "runtime/threads/parallel.hpp"
#include "runtime/walk/plan.hpp"

namespace pyrnn {

// What is the same for all directions of a call.
struct ForwardOptions {
  std::optional<Dense<Size>> lengths;
  bool keep;
  Size checkpoint;
};

// x (T, N, I) or indices (T, N), states (N, size) -> y (T, N, O), states, cache or None
template <class T>
class ForwardCall {
 public:
  // `alone`: whether a single thread computes, whatever the plan.
  ForwardCall(Weights<T>& weights, const py::array& x, const States<T>& state,
              const ForwardOptions& options, bool reverse, const py::object& noise,
              bool alone = false)
      : cache_(std::make_shared<Cache<T>>()), sizes_(weights.sizes), keep_(options.keep) {
    cache_->parameters = weights.parameters;
    cache_->checkpoints.steps = keep_ ? options.checkpoint : 0;
    read_input(x, options.lengths, reverse);
    const Size batch = cache_->batch_size, O = sizes_.output_size;
    OrderedStates<T> first(state, sizes_, batch, cache_->packed);
    cache_->h0 = std::move(first.h);
    cache_->inner0 = std::move(first.inner);
    cache_->noise = NoiseArrays<T>(noise, sizes_, cache_->time_steps, batch, cache_->packed);
    cache_->y = empty<T>({cache_->time_steps, batch, O});
    y_ = cache_->y.mutable_data();
    const auto several_readers = [&] {
      return !alone && make_plan(sizes_, batch, cache_->time_steps, num_threads()).threads > 1;
    };
    cache_->weights = weights.packed(keep_, several_readers);
    if (cache_->weights != nullptr) return;
    parameters_ = weights.pointers();
    several_readers_ = several_readers();
  }

  void run() {
    if (cache_->weights == nullptr)
      cache_->weights = std::make_shared<const CellWeights<T>>(sizes_, parameters_, packed_for());
    const Size O = sizes_.output_size, batch = cache_->batch_size;
    h_last_ = Buffer<T>(batch * O);
    inner_last_ = Buffer<T>(sizes_.inner_states() * batch * sizes_.hidden_size);
    if (cache_->packed) cache_->packed_y = Buffer<T>(cache_->schedule.rows * O);
    T* const rows = cache_->packed ? cache_->packed_y.data() : y_;
    Forward<T> call{};
    call.weights = cache_->weights.get();
    call.schedule = &cache_->schedule;
    call.x = cache_->input();
    call.h0 = cache_->h0.data();
    call.inner0 = cache_->inner0.data();
    call.y = rows;
    call.y_row = O;
    call.inner_last = inner_last_.data();
    call.noise = cache_->noise.pointers();
    walk(call);
    last_rows(rows, O, cache_->schedule, O, h_last_.data());
    if (cache_->packed) unpack_rows(*cache_->packed, rows, cache_->time_steps, O, y_);
  }

  py::tuple results() const {
    const py::tuple states = state_arrays(h_last_.data(), inner_last_.data(), sizes_,
                                          cache_->batch_size, cache_->packed);
    return py::make_tuple(cache_->y, states, keep_ ? py::cast(cache_) : py::none());
  }

 private:
  void read_input(const py::array& x, const std::optional<Dense<Size>>& lengths, bool reverse) {
    Cache<T>& cache = *cache_;
    const bool dense = py::isinstance<py::array_t<T>>(x);
    require(x.ndim() == (dense ? 3 : 2), "x: shapes");
    if (dense) {
      require(x.shape(2) == sizes_.input_size, "x: shapes");
      cache.x.emplace(py::reinterpret_borrow<py::array_t<T>>(x));
    } else {
      cache.indices.emplace(dense_of<IndexArray>(x));
    }
    require(x.shape(0) >= 1, "x: expected a time step");
    // Whoever calls: a row outside the weights must not get further.
    require(dense || all_below(*cache.indices, sizes_.input_size), "x: expected indices of inputs");
    cache.time_steps = x.shape(0);
    cache.batch_size = x.shape(1);
    if (!lengths) {
      cache.schedule = Schedule::uniform(cache.time_steps, cache.batch_size, reverse);
      cache.schedule.bands = band_count(sizes_, cache.schedule);
      return;
    }
    require(lengths->ndim() == 1 && lengths->shape(0) == cache.batch_size, "lengths: shapes");
    // A row outside x, or a sequence without a last step, must not get further, whoever calls.
    require(std::all_of(lengths->data(), lengths->data() + cache.batch_size,
                        [&](Size length) { return length >= 1 && length <= cache.time_steps; }),
            "lengths: expected values in [1, time steps]");
    const Computing computing;
    cache.packed.emplace(lengths->data(), cache.batch_size, reverse);
    const std::vector<Size>& source = cache.packed->source;
    if (cache.x) {
      cache.packed_x = Buffer<T>(cache.packed->schedule.rows * sizes_.input_size);
      gather_rows(cache.x->data, cache.x->row, source, sizes_.input_size, cache.packed_x.data());
    } else {
      for (Size row : source) cache.own_indices.push_back(cache.indices->data()[row]);
    }
    cache.schedule = cache.packed->schedule;
  }

  // What weights have to be packed for in this call alone.
  PackedFor packed_for() {
    PackedFor use{keep_, keep_ && cache_->x.has_value(), several_readers_};
    if (!cache_->indices || !few_indices(cache_->schedule.rows, sizes_.input_size)) return use;
    std::vector<std::int64_t>& own = cache_->own_indices;
    const std::int64_t* const given = cache_->indices->data();
    if (own.empty()) own.assign(given, given + cache_->schedule.rows);
    use.input_columns = compact_indices(own, sizes_.input_size);
    return use;
  }

  // All of it saved, checkpoints, or nothing.
  void walk(const Forward<T>& call) {
    if (!keep_) {
      walk_forward(call, static_cast<SavedValues<T>*>(nullptr));
    } else if (cache_->checkpoints.steps > 0) {
      walk_forward(call, cache_->checkpoints);
    } else {
      walk_forward(call, &cache_->saved);
    }
  }

  std::shared_ptr<Cache<T>> cache_;  // holds the inputs whether or not it outlives the call
  CellSizes<T> sizes_;
  bool keep_;
  CellParameters<T> parameters_{};  // to be packed, where that has to be done now
  bool several_readers_ = false;
  Buffer<T> h_last_, inner_last_;
  T* y_;
};

// dy (T, N, O), states' gradients (N, size) -> dx or None, states' gradients, gradients by name
template <class T>
class BackwardCall {
 public:
  // `with_dx`: whether the input's gradient is wanted; one-hot inputs have none.
  BackwardCall(Cache<T>& cache, const py::array_t<T>& dy, const States<T>& dstate, bool with_dx)
      : cache_(checked(cache, dy)),
        sizes_(cache.weights->sizes),
        with_dx_(with_dx && dense()),
        dy_(dy),
        last_(dstate, sizes_, cache.batch_size, cache.packed),
        dh0_(cache.batch_size * sizes_.output_size),
        dinner0_(sizes_.inner_states() * cache.batch_size * sizes_.hidden_size),
        gradients_(cache) {
    if (with_dx_) {
      dx_ = empty<T>({cache.time_steps, cache.batch_size, sizes_.input_size});
      dx_data_ = dx_.mutable_data();
    }
  }

  // Before it runs, and after everything is checked: the cache then serves no other call.
  void use_cache() { cache_.use(); }

  void run() {
    const Size O = sizes_.output_size, I = sizes_.input_size, rows = cache_.schedule.rows;
    const std::optional<PackedBatch>& packed = cache_.packed;
    GradientSums<T> sums(*cache_.weights, !dense(), gradients_.pointers, cache_.batch_size,
                         cache_.schedule.bands);
    Buffer<T> packed_dy, packed_dx;
    if (packed) {
      packed_dy = Buffer<T>(rows * O);
      gather_rows(dy_.data, dy_.row, packed->source, O, packed_dy.data());
      if (with_dx_) packed_dx = Buffer<T>(rows * I);
    }
    Backward<T> call{};
    call.inputs = cache_.inputs();
    call.dy = packed ? packed_dy.data() : dy_.data;
    call.dy_row = packed ? O : dy_.row;
    call.dh_last = last_.h.data();
    call.dinner_last = last_.inner.data();
    call.dx = packed ? packed_dx.data() : dx_data_;
    call.dh0 = dh0_.data();
    call.dinner0 = dinner0_.data();
    call.noise = cache_.noise.pointers();
    walk(call, sums);
    if (packed && with_dx_) unpack_rows(*packed, packed_dx.data(), cache_.time_steps, I, dx_data_);
    cache_.saved = SavedValues<T>{};
    cache_.checkpoints = Checkpoints<T>{};
  }

  py::tuple results() const {
    py::object dx = py::none();
    if (with_dx_) dx = dx_;
    return py::make_tuple(
        dx, state_arrays(dh0_.data(), dinner0_.data(), sizes_, cache_.batch_size, cache_.packed),
        gradients_.by_name());
  }

 private:
  static Cache<T>& checked(Cache<T>& cache, const py::array_t<T>& dy) {
    cache.check_unused();
    require(dy.ndim() == 3 && dy.shape(0) == cache.time_steps && dy.shape(1) == cache.batch_size &&
                dy.shape(2) == cache.weights->sizes.output_size,
            "dy: shapes");
    return cache;
  }

  bool dense() const { return !cache_.indices; }

  // Over all that was saved, or over what its checkpoints give again.
  void walk(const Backward<T>& call, GradientSums<T>& sums) {
    if (cache_.checkpoints.steps > 0) {
      walk_backward(call, cache_.checkpoints, sums);
    } else {
      walk_backward(call, cache_.saved, sums);
    }
    sums.finish();
  }

  Cache<T>& cache_;
  const CellSizes<T>& sizes_;
  bool with_dx_;
  RowsView<T> dy_;
  OrderedStates<T> last_;
  Buffer<T> dh0_, dinner0_;
  py::array_t<T> dx_ = no_array<T>();
  T* dx_data_ = nullptr;
  NewGradients<T> gradients_;
};

// Both directions of a layer; `at_once` by a thread each, which changes no result.
template <class Call>
void run_both(const std::array<Call*, 2>& calls, bool at_once) {
  const Computing computing;
  if (!at_once) {
    for (Call* call : calls) call->run();
    return;
  }
  parallel_for(2, 1, 1, [&](Range directions) {
    for (Size i = directions.begin; i < directions.end; ++i)
      calls[static_cast<std::size_t>(i)]->run();
  });
}

}  // namespace pyrnn
