#include "runtime/stream.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/flush_scope.hpp"
#include "runtime/plan.hpp"
#include "runtime/thread_pool.hpp"

namespace pyrnn {
namespace {

// Cycles of a step that pay for one more thread: many times what waking it takes while the cores
// are ours, as it takes much longer where they are not.
constexpr double thread_cycles = 40'000;

}  // namespace

template <class T>
Stream<T>::Stream(std::vector<std::shared_ptr<const CellWeights<T>>> layers, Size batch_size)
    : batch_size_(batch_size) {
  for (auto& weights : layers) {
    Layer layer;
    const CellSizes<T>& sizes = weights->sizes;
    layer.h = Buffer<T>::zeros(batch_size * sizes.hidden_size);
    layer.h_next = Buffer<T>::zeros(batch_size * sizes.hidden_size);
    layer.inner = Buffer<T>::zeros(sizes.inner_states() * batch_size * sizes.padded);
    layer.gates = Buffer<T>(batch_size * sizes.gates_row());
    layer.weights = std::move(weights);
    layers_.push_back(std::move(layer));
  }
  threads_ = wanted_threads();
}

template <class T>
int Stream<T>::wanted_threads() const {
  double cycles = 0;
  Size blocks = 0;
  for (const Layer& layer : layers_) {
    const CellSizes<T>& sizes = layer.weights->sizes;
    const double both =
        1 + static_cast<double>(sizes.input_size) / static_cast<double>(sizes.hidden_size);
    cycles += both * step_cycles(sizes, batch_size_, sizes.padded);
    blocks = (sizes.padded + unit_block(sizes) - 1) / unit_block(sizes);
  }
  const double threads = 1 + cycles / thread_cycles;
  return static_cast<int>(std::min(threads, static_cast<double>(blocks)));
}

template <class T>
void Stream<T>::step(const InputRows<T>& x, T* y) {
  const auto input_of = [&](std::size_t index) {
    if (index == 0) return x;
    const Layer& below = layers_[index - 1];
    return InputRows<T>{below.h_next.data(), below.weights->sizes.hidden_size, nullptr};
  };
  const auto panels = [&](std::size_t index, int threads, int thread) {
    return panels_of(layers_[index].weights->sizes, threads, thread);
  };
  if (threads_ == 1 || num_threads() == 1) {
    const FlushScope flush;
    for (std::size_t index = 0; index < layers_.size(); ++index)
      run_layer(index, input_of(index), panels(index, 1, 0));
  } else {
    Team team(threads_);
    Barrier barrier(team.size());
    team.run(team.size(), [&](int thread) {
      for (std::size_t index = 0; index < layers_.size(); ++index) {
        if (index > 0) barrier.wait();
        run_layer(index, input_of(index), panels(index, team.size(), thread));
      }
    });
  }
  for (Layer& layer : layers_) std::swap(layer.h, layer.h_next);
  const Buffer<T>& last = layers_.back().h;
  std::memcpy(y, last.data(), static_cast<std::size_t>(last.size()) * sizeof(T));
}

template <class T>
void Stream<T>::run_layer(std::size_t index, const InputRows<T>& x, Range panels) {
  if (panels.size() == 0) return;
  Layer& layer = layers_[index];
  const CellSizes<T>& sizes = layer.weights->sizes;
  input_product(*layer.weights, x, layer.gates.data(), batch_size_, panels);
  StepForward<T> q{};
  q.gates = layer.gates.data();
  q.h_prev = layer.h.data();
  q.h_next = layer.h_next.data();
  q.h_prev_row = q.h_next_row = sizes.hidden_size;
  q.inner_prev = q.inner_next = layer.inner.data();
  q.inner_prev_state = q.inner_next_state = batch_size_ * sizes.padded;
  q.rows = batch_size_;
  q.panel_begin = panels.begin;
  q.panel_end = panels.end;
  hidden_step(*layer.weights, q);
}

template <class T>
void Stream<T>::read_state(int state, T* to) const {
  for (const Layer& layer : layers_) {
    const CellSizes<T>& sizes = layer.weights->sizes;
    for (Size row = 0; row < batch_size_; ++row, to += sizes.hidden_size) {
      const T* const from =
          state == 0 ? layer.h.data() + row * sizes.hidden_size
                     : layer.inner.data() + ((state - 1) * batch_size_ + row) * sizes.padded;
      std::copy(from, from + sizes.hidden_size, to);
    }
  }
}

template <class T>
void Stream<T>::write_state(int state, const T* from) {
  for (Layer& layer : layers_) {
    const CellSizes<T>& sizes = layer.weights->sizes;
    for (Size row = 0; row < batch_size_; ++row, from += sizes.hidden_size) {
      T* const to = state == 0
                        ? layer.h.data() + row * sizes.hidden_size
                        : layer.inner.data() + ((state - 1) * batch_size_ + row) * sizes.padded;
      std::copy(from, from + sizes.hidden_size, to);
    }
  }
}

template class Stream<float>;
template class Stream<double>;

}  // namespace pyrnn
