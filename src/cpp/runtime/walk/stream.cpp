#include "runtime/walk/stream.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/threads/interrupts.hpp"
#include "runtime/threads/pool.hpp"
#include "runtime/walk/plan.hpp"
#include "tuning.hpp"

namespace pyrnn {

template <class T>
Stream<T>::Stream(std::vector<std::shared_ptr<const CellWeights<T>>> layers, Size batch_size,
                  const std::vector<double>& zoneout)
    : batch_size_(batch_size) {
  for (const double rate : zoneout) zoneout_.push_back(Zoneout<T>::with_rate(rate));
  for (auto& weights : layers) {
    Layer layer;
    const CellSizes<T>& sizes = weights->sizes;
    const Size inner = sizes.inner_states() * batch_size * sizes.padded;
    for (Buffer<T>& h : layer.h) h = Buffer<T>::zeros(batch_size * sizes.output_size);
    for (Buffer<T>& states : layer.inner) states = Buffer<T>::zeros(inner);
    layer.panels_at_once = panels_of_both_products(sizes);
    layer.weights = std::move(weights);
    layers_.push_back(std::move(layer));
  }
  by_rows_ = batch_size >= 2 * tuning::least_stream_rows;
  threads_ = wanted_threads();
  rows_at_once_ = batch_size;
  for (Layer& layer : layers_) {
    const Size row_bytes = layer.weights->sizes.gates_row() * static_cast<Size>(sizeof(T));
    if (by_rows_)
      rows_at_once_ = std::min(rows_at_once_, std::max(tuning::least_stream_rows,
                                                       tuning::stream_block_bytes / row_bytes));
  }
  const Size rows = by_rows_ ? threads_ * rows_at_once_ : batch_size;
  for (Layer& layer : layers_) {
    const CellSizes<T>& sizes = layer.weights->sizes;
    layer.gates = Buffer<T>(rows * sizes.gates_row());
    if (sizes.two_products()) layer.u = Buffer<T>(rows * sizes.padded);
  }
}

template <class T>
int Stream<T>::wanted_threads() const {
  double cycles = 0;
  Size blocks = 0;
  for (const Layer& layer : layers_) {
    const CellSizes<T>& sizes = layer.weights->sizes;
    if (sizes.shape().whole_rows && !by_rows_) return 1;
    const double both =
        1 + static_cast<double>(sizes.input_size) / static_cast<double>(sizes.hidden_size);
    cycles += both * step_cycles(sizes, batch_size_, sizes.padded);
    blocks = quotient_up(sizes.padded, backward_panel_units(sizes));
  }
  const double threads = 1 + cycles / tuning::stream_grain;
  const Size most = by_rows_ ? batch_size_ / tuning::least_stream_rows : blocks;
  return static_cast<int>(std::min(threads, static_cast<double>(most)));
}

template <class T>
void Stream<T>::step(const InputRows<T>& x, T* y) {
  const Size phases = by_rows_ ? 1 : layers() * layer_phases();
  if (threads_ == 1) {
    for (Size phase = 0; phase < phases; ++phase) work(x, phase, 1, 0);
  } else {
    Team team(threads_);
    const int parts = team.size();
    team.run(parts, phases, [&](Size phase, int part) { work(x, phase, parts, part); });
  }
  now_ = 1 - now_;
  const Buffer<T>& last = layers_.back().h[now_];
  std::memcpy(y, last.data(), static_cast<std::size_t>(last.size()) * sizeof(T));
}

template <class T>
void Stream<T>::work(const InputRows<T>& x, Size phase, int parts, int part) {
  if (by_rows_) {
    work_on_rows(x, parts, part);
  } else {
    work_on_units(x, phase, parts, part);
  }
}

// All layers for some rows, a block of them at a time.
template <class T>
void Stream<T>::work_on_rows(const InputRows<T>& x, int parts, int part) {
  const Range mine = split(batch_size_, parts, part);
  for (Size row = mine.begin; row < mine.end; row += rows_at_once_) {
    if (row > mine.begin) check_interrupts();
    const Portion portion{
        {row, std::min(row + rows_at_once_, mine.end)}, part * rows_at_once_, 1, 0};
    for (std::size_t index = 0; index < layers_.size(); ++index) {
      Layer& layer = layers_[index];
      StepForward<T> q = rows_of(layer, portion);
      first_product(layer, input_of(index, x).from(row), q);
      finish_step(layer, q, portion);
    }
  }
}

// Some units of a layer, for all rows.
template <class T>
void Stream<T>::work_on_units(const InputRows<T>& x, Size phase, int parts, int part) {
  const std::size_t index = static_cast<std::size_t>(phase / layer_phases());
  Layer& layer = layers_[index];
  const Portion portion{{0, batch_size_}, 0, parts, part};
  StepForward<T> q = rows_of(layer, portion);
  if (phase % layer_phases() == 0) first_product(layer, input_of(index, x), q);
  if (phase % layer_phases() == layer_phases() - 1) finish_step(layer, q, portion);
}

template <class T>
InputRows<T> Stream<T>::input_of(std::size_t layer, const InputRows<T>& x) const {
  if (layer == 0) return x;
  const Layer& below = layers_[layer - 1];
  return {below.h[1 - now_].data(), below.weights->sizes.output_size, nullptr};
}

template <class T>
StepForward<T> Stream<T>::rows_of(Layer& layer, const Portion& portion) const {
  const CellSizes<T>& sizes = layer.weights->sizes;
  const Range panels = panels_of(sizes, portion.parts, portion.part);
  const Size row = portion.rows.begin, O = sizes.output_size;
  StepForward<T> q = step_of(*layer.weights);
  q.gates = layer.gates.data() + portion.buffer_row * sizes.gates_row();
  q.u = layer.u.data() + portion.buffer_row * sizes.padded;
  q.h_prev = layer.h[now_].data() + row * O;
  q.h_next = layer.h[1 - now_].data() + row * O;
  q.h_prev_row = q.h_next_row = O;
  q.inner_prev = layer.inner[now_].data() + row * sizes.padded;
  q.inner_next = layer.inner[1 - now_].data() + row * sizes.padded;
  q.inner_prev_state = q.inner_next_state = batch_size_ * sizes.padded;
  q.rows = portion.rows.size();
  q.panel_begin = panels.begin;
  q.panel_end = panels.end;
  q.product.last_first = now_ == 1;
  return q;
}

// x: the rows of q. Both products of some panels after those of others, so that a step finds in
// cache the weights of both that the step before it has read last.
template <class T>
void Stream<T>::first_product(Layer& layer, const InputRows<T>& x, StepForward<T>& q) const {
  const Range mine{q.panel_begin, q.panel_end};
  const Size at_once = layer.panels_at_once;
  const Size turns = std::max<Size>(1, mine.size() / at_once);
  const bool last_first = now_ == 1;
  for (Size i = 0; i < turns; ++i) {
    if (i % tuning::stream_piece_panels == tuning::stream_piece_panels - 1) check_interrupts();
    const Size index = last_first ? turns - 1 - i : i;
    q.panel_begin = mine.begin + index * at_once;
    q.panel_end = index + 1 == turns ? mine.end : q.panel_begin + at_once;
    const Range panels{q.panel_begin, q.panel_end};
    if (panels.size() > 0) input_product(*layer.weights, x, q.gates, {q.rows}, panels, last_first);
    hidden_step(*layer.weights, q, q.h_prev, q.h_prev_row);
  }
  q.panel_begin = mine.begin;
  q.panel_end = mine.end;
}

// Panels whose weights for both products are found again.
template <class T>
Size Stream<T>::panels_of_both_products(const CellSizes<T>& sizes) {
  if (sizes.shape().whole_rows) return sizes.panels();
  const Size columns =
      sizes.input_slots() * sizes.input_size + sizes.hidden_slots() * sizes.output_size;
  const Size panel_bytes = sizes.panel_units() * columns * sizes.weight_bytes();
  return std::max<Size>(tuning::least_stream_panels, tuning::stream_weight_bytes / panel_bytes);
}

template <class T>
void Stream<T>::finish_step(Layer& layer, StepForward<T>& q, const Portion& portion) const {
  const CellSizes<T>& sizes = layer.weights->sizes;
  const Range outputs = columns_of(sizes, sizes.padded_output, portion.parts, portion.part);
  if (sizes.two_products()) second_step(*layer.weights, q, outputs);
  if (!zoneout_.empty())
    zone_out_layer(q, within(outputs, backward_panel_units(sizes), sizes.output_size),
                   within({q.panel_begin, q.panel_end}, sizes.panel_units(), sizes.hidden_size));
}

template <class T>
void Stream<T>::zone_out_layer(const StepForward<T>& q, Range outputs, Range units) const {
  zone_out<T>(zoneout_[0], {q.h_prev, q.h_prev_row}, {q.h_next, q.h_next_row}, q.rows, outputs);
  for (std::size_t s = 1; s < zoneout_.size(); ++s) {
    const Size state = static_cast<Size>(s - 1) * q.inner_prev_state;
    zone_out<T>(zoneout_[s], {q.inner_prev + state, q.inner_row},
                {q.inner_next + state, q.inner_row}, q.rows, units);
  }
}

// Now's numbers of a state of a layer, and how far apart its rows are.
template <class T>
UnitRows<T> Stream<T>::state_rows(Layer& layer, int state) {
  const CellSizes<T>& sizes = layer.weights->sizes;
  if (state == 0) return {layer.h[now_].data(), sizes.output_size};
  return {layer.inner[now_].data() + (state - 1) * batch_size_ * sizes.padded, sizes.padded};
}

template <class T>
void Stream<T>::read_state(int state, T* to, const ChosenStreams& chosen) {
  for (Layer& layer : layers_) {
    const UnitRows<T> rows = state_rows(layer, state);
    const Size size = layer.weights->sizes.state_size(state);
    for (Size n = 0; n < chosen.count; ++n, to += size)
      std::copy_n(rows.data + chosen[n] * rows.row, size, to);
  }
}

template <class T>
void Stream<T>::write_state(int state, const T* from, const ChosenStreams& chosen) {
  for (Layer& layer : layers_) {
    const UnitRows<T> rows = state_rows(layer, state);
    const Size size = layer.weights->sizes.state_size(state);
    for (Size n = 0; n < chosen.count; ++n, from += size)
      std::copy_n(from, size, rows.data + chosen[n] * rows.row);
  }
}

template <class T>
void Stream<T>::zero_state() {
  for (Layer& layer : layers_)
    for (Buffer<T>* state : {&layer.h[now_], &layer.inner[now_]})
      std::fill(state->data(), state->data() + state->size(), T(0));
}

template class Stream<float>;
template class Stream<double>;

}  // namespace pyrnn
