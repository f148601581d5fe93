#include "runtime/walk/windows.hpp"

#include <algorithm>
#include <memory>

#include "runtime/threads/pieces.hpp"
#include "runtime/threads/pool.hpp"
#include "runtime/walk/plan.hpp"
#include "runtime/walk/step_back.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// One layer's gradients in flight: a block of `batch` rows for each window.
template <class T>
struct LayerState {
  const WindowLayer<T>* layer;
  const CellSizes<T>* sizes;
  GradientSums<T> sums;
  BackState<T> state;
  StepBack<T> back;
  Buffer<T> dgates;     // (windows, batch, slots * padded) of the lag
  Buffer<T> dx;         // (windows, batch, I) of the lag, for the layer below
  Buffer<T> projected;  // (windows, batch, padded output) of the lag: gradients of a projected h
  // over all lags: (rows, slots * padded), (rows, padded output)
  Buffer<T> total, total_projected;

  LayerState(const WindowLayer<T>& given, Size blocks, bool lowest, int threads)
      : layer(&given),
        sizes(&given.inputs.weights->sizes),
        sums(*given.inputs.weights, given.inputs.x.indices != nullptr, given.gradients, blocks),
        state(*sizes, blocks, given.noise, threads),
        back(given.inputs, *given.saved, given.noise, sums, state),
        dgates(blocks * sizes->gates_row()),
        total(given.inputs.schedule->rows * sizes->gates_row()) {
    in_pieces({0, total.size()}, tuning::products_of_a_copy, 1, [&](Range some) {
      std::fill(total.data() + some.begin, total.data() + some.end, T(0));
    });
    if (!lowest) dx = Buffer<T>(blocks * sizes->input_size);
    if (sizes->projected) {
      projected = Buffer<T>(blocks * sizes->padded_output);
      total_projected = Buffer<T>::zeros(given.inputs.schedule->rows * sizes->padded_output);
    }
    sums.begin(given.inputs, *given.saved, {total.data(), total_projected.data()}, threads);
  }
};

template <class T>
class WindowWalk {
 public:
  WindowWalk(const std::vector<WindowLayer<T>>& layers, const T* dy, Size dy_row, T* dx, Size k1,
             Size k2)
      : schedule_(*layers.front().inputs.schedule),
        dy_(dy),
        dy_row_(dy_row),
        dx_(dx),
        k1_(std::min(k1, schedule_.steps())),
        windows_(quotient_up(schedule_.steps(), k1_)),
        k2_(std::min(k2, windows_ * k1_)),
        team_(num_threads()),
        threads_(wanted_threads(layers)),
        paces_(threads_) {
    const Size blocks = windows_ * schedule_.batch_size;
    for (const WindowLayer<T>& layer : layers) {
      states_.push_back(
          std::make_unique<LayerState<T>>(layer, blocks, &layer == &layers.front(), threads_));
      const CellSizes<T>& sizes = layer.inputs.weights->sizes;
      window_products_ +=
          schedule_.batch_size * sizes.gates_row() * (sizes.input_size + sizes.output_size);
    }
  }

  void run() {
    team_.run(threads_, k2_ + 1, [this](Size phase, int part) { work(phase, part); });
    for (const auto& state : states_) state->sums.finish();
  }

 private:
  int wanted_threads(const std::vector<WindowLayer<T>>& layers) const {
    double products = 0;
    for (const WindowLayer<T>& layer : layers) {
      const CellSizes<T>& sizes = layer.inputs.weights->sizes;
      products += static_cast<double>(windows_ * schedule_.batch_size * sizes.gates_row()) *
                  static_cast<double>(sizes.hidden_size);
    }
    return static_cast<int>(std::clamp(products / static_cast<double>(tuning::window_grain), 1.0,
                                       static_cast<double>(team_.size())));
  }

  // A lag of some windows; after the last lag, some of the sums.
  void work(Size lag, int part) {
    if (lag == k2_) {
      sum(part);
      return;
    }
    // Windows that have a position at this lag: the first ones have none any more, the last one
    // may not have any yet.
    Range mine = split(windows_, threads_, part);
    while (mine.begin < mine.end && position(mine.begin, lag) < 0) ++mine.begin;
    if (mine.begin < mine.end && position(mine.end - 1, lag) >= schedule_.steps()) --mine.end;
    if (mine.begin == mine.end) return;
    in_pieces(mine, window_products_, 1, [&](Range windows) {
      paces_.tick(part);
      for (Range some{windows.begin, windows.begin}; some.begin < windows.end;
           some.begin = some.end) {
        some.end = end_of_full(some.begin, windows.end, lag);
        for (std::size_t layer = states_.size(); layer-- > 0;) {
          step_back(layer, some, lag, part);
          if (layer > 0) pass_down(*states_[layer], *states_[layer - 1], some, lag);
        }
      }
    });
  }

  // The end of the windows, from one on, whose rows lie side by side: where all sequences have the
  // step. Where some have ended, a window is taken alone.
  Size end_of_full(Size begin, Size end, Size lag) const {
    const auto is_full = [&](Size window) {
      return schedule_.count_of(position(window, lag)) == schedule_.batch_size;
    };
    Size last = begin + 1;
    if (is_full(begin))
      while (last < end && is_full(last)) ++last;
    return last;
  }

  // The rows of some windows: of one alone, those of the sequences that have the step.
  Size rows_at(Range windows, Size lag) const {
    return windows.size() == 1 ? schedule_.count_of(position(windows.begin, lag))
                               : windows.size() * schedule_.batch_size;
  }

  void sum(int part) {
    for (const auto& state : states_) {
      const CellSizes<T>& sizes = *state->sizes;
      const Size blocks = quotient_up(sizes.padded_output, backward_panel_units(sizes));
      const Size products = sizes.gates_row() * (sizes.input_size + sizes.output_size) / threads_;
      const Size rows = std::max(tuning::summed_rows, tuning::packing_piece_products / products);
      for (Size end = schedule_.steps(), begin = 0; end > 0; end = begin) {
        begin = schedule_.stretch_to(end, rows);
        check_interrupts();
        state->sums.sum(begin, end, 0,
                        split(sizes.panels(), threads_, part, sizes.panels_together()),
                        split(blocks, threads_, part), part);
      }
    }
    if (dx_ == nullptr) return;
    const Range rows = split(schedule_.rows, threads_, part);
    const CellSizes<T>& sizes = *states_.front()->sizes;
    in_pieces(rows, sizes.gates_row() * sizes.input_size, tuning::summed_rows, [&](Range some) {
      states_.front()->sums.input_gradient(some.begin, some.begin, {some.size()}, dx_);
    });
  }

  // The step of a window at a lag; the sequence may not have it.
  Size position(Size window, Size lag) const { return (window + 1) * k1_ - 1 - lag; }

  // A layer's step back at one lag: what is pointwise window by window, products for all at once.
  void step_back(std::size_t layer, Range windows, Size lag, int part) {
    LayerState<T>& state = *states_[layer];
    const CellSizes<T>& sizes = *state.sizes;
    const Range units{0, sizes.hidden_size}, outputs{0, sizes.output_size};
    const Range panels{0, sizes.panels()};
    const Range unit_columns{0, quotient_up(sizes.padded, backward_panel_units(sizes))};
    const BackRows<T> all = rows_of(layer, windows, lag);
    const auto each = [&](const auto& work) {
      for (Size window = windows.begin; window < windows.end; ++window)
        work(rows_of(layer, {window, window + 1}, lag));
    };
    StepBack<T>& back = state.back;
    if (back.enters()) each([&](const auto& these) { back.enter(these, outputs, units); });
    if (sizes.projected) back.project(all, unit_columns);
    each([&](const auto& these) { back.pointwise(these, panels, part); });
    if (sizes.shape().has_second()) {
      back.second_product(all, unit_columns);
      each([&](const auto& these) { back.pointwise_first(these, panels, part); });
    }
    // No other window is at this step at this lag.
    each([&](const auto& these) { add_to_total(state, these); });
    back.carry(all, {0, quotient_up(sizes.padded_output, backward_panel_units(sizes))});
    if (back.leaves()) each([&](const auto& these) { back.leave(these, outputs, units); });
  }

  static void add_to_total(LayerState<T>& state, const BackRows<T>& these) {
    const CellSizes<T>& sizes = *state.sizes;
    sizes.kernels->add(state.total.data() + these.row * sizes.gates_row(), these.dgates,
                       these.count * sizes.gates_row());
    if (sizes.projected)
      sizes.kernels->add(state.total_projected.data() + these.row * sizes.padded_output,
                         these.projected, these.count * sizes.padded_output);
  }

  // The rows of some windows; what they read of the sequence is the first window's.
  BackRows<T> rows_of(std::size_t layer, Range windows, Size lag) {
    LayerState<T>& state = *states_[layer];
    const CellSizes<T>& sizes = *state.sizes;
    const Size step = position(windows.begin, lag), batch = schedule_.batch_size;
    const Size block = windows.begin * batch;
    BackRows<T> these{};
    these.row = these.saved_row = schedule_.first_of(step);
    these.previous = these.saved_previous = step == 0 ? -1 : schedule_.first_of(step - 1);
    these.state = block;
    these.last_first = lag % 2 == 1;
    these.count = rows_at(windows, lag);
    these.steps = k2_ - 1 - lag;
    if (layer + 1 < states_.size()) {
      these.dy_row = sizes.output_size;
      these.dy = states_[layer + 1]->dx.data() + block * these.dy_row;
    } else if (step >= windows.begin * k1_) {
      these.dy_row = dy_row_;
      these.dy = dy_ + these.row * dy_row_;
    }
    these.dgates = state.dgates.data() + block * sizes.gates_row();
    these.projected = state.projected.data() + block * sizes.padded_output;
    return these;
  }

  // The layer below gets dz W_ih as its dy, at the same positions of the same windows.
  void pass_down(LayerState<T>& state, const LayerState<T>& below, Range windows, Size lag) {
    const CellSizes<T>& sizes = *state.sizes;
    const Size batch = schedule_.batch_size, I = sizes.input_size;
    const Size row = windows.begin * batch;
    Product<T> product{};
    set_columns(product, nullptr, I, sizes.lanes());
    write_to(product, state.dx.data() + row * I, I, rows_at(windows, lag));
    multiply_back(sizes, state.layer->inputs.weights->input_back,
                  state.dgates.data() + row * sizes.gates_row(), sizes.shape().input_begin,
                  sizes.input_slots(), product,
                  [&](Product<T>& part) { multiply_rows(*sizes.kernels, part); });
    const T* const mask = below.layer->mask;
    if (mask == nullptr) return;
    for (Size window = windows.begin; window < windows.end; ++window) {
      const T* const factors = mask + schedule_.first_of(position(window, lag)) * I;
      T* const block = state.dx.data() + window * batch * I;
      const Size numbers = rows_at({window, window + 1}, lag) * I;
      for (Size i = 0; i < numbers; ++i) block[i] *= factors[i];
    }
  }

  const Schedule& schedule_;
  const T* dy_;
  Size dy_row_;
  T* dx_;
  Size k1_, windows_, k2_;
  Team team_;
  int threads_;
  Paces paces_;
  std::vector<std::unique_ptr<LayerState<T>>> states_;
  Size window_products_ = 0;  // of a lag
};

}  // namespace

template <class T>
void walk_windows(const std::vector<WindowLayer<T>>& layers, const T* dy, Size dy_row, T* dx,
                  Size k1, Size k2) {
  WindowWalk<T>(layers, dy, dy_row, dx, k1, k2).run();
}

template void walk_windows(const std::vector<WindowLayer<float>>&, const float*, Size, float*, Size,
                           Size);
template void walk_windows(const std::vector<WindowLayer<double>>&, const double*, Size, double*,
                           Size, Size);

}  // namespace pyrnn
