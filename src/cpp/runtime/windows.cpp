#include "runtime/windows.hpp"

#include <algorithm>
#include <memory>

#include "runtime/plan.hpp"
#include "runtime/thread_pool.hpp"

namespace pyrnn {
namespace {

// Multiply-adds of a lag that pay for a thread.
constexpr double grain_products = 200e3;

// One layer's gradients in flight: a block of `batch` rows for each window.
template <class T>
struct LayerState {
  const WindowLayer<T>* layer;
  const CellSizes<T>* sizes;
  Buffer<T> dh, dinner;  // (windows, batch, padded); dinner for each inner state
  Buffer<T> dgates;      // (windows, batch, slots * padded) of the lag
  Buffer<T> dx;          // (windows, batch, I) of the lag, for the layer below
  Buffer<T> total;       // (rows, slots * padded) over all lags
  std::unique_ptr<GradientSums<T>> sums;
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
        k2_(std::min(k2, schedule_.steps())),
        windows_((schedule_.steps() + k1_ - 1) / k1_),
        team_(num_threads()),
        threads_(wanted_threads(layers)),
        barrier_(threads_) {
    const Size blocks = windows_ * schedule_.batch_size;
    for (const WindowLayer<T>& layer : layers) {
      LayerState<T> state;
      state.layer = &layer;
      state.sizes = &layer.inputs.weights->sizes;
      const Size padded = state.sizes->padded;
      state.dh = Buffer<T>::zeros(blocks * padded);
      state.dinner = Buffer<T>::zeros(state.sizes->inner_states() * blocks * padded);
      state.dgates = Buffer<T>(blocks * state.sizes->gates_row());
      if (&layer != &layers.front()) state.dx = Buffer<T>(blocks * state.sizes->input_size);
      state.total = Buffer<T>::zeros(schedule_.rows * state.sizes->gates_row());
      state.sums = std::make_unique<GradientSums<T>>(layer.inputs, state.total.data(),
                                                     layer.gradients, threads_);
      zeros_ = std::max(zeros_, std::max(padded, state.sizes->input_size));
      states_.push_back(std::move(state));
    }
    zero_row_ = Buffer<T>::zeros(zeros_ + panel_vectors * states_.front().sizes->lanes());
  }

  void run() {
    team_.run(threads_, [this](int thread) { work(thread); });
    for (LayerState<T>& state : states_) state.sums->finish();
  }

 private:
  int wanted_threads(const std::vector<WindowLayer<T>>& layers) const {
    double products = 0;
    for (const WindowLayer<T>& layer : layers) {
      const CellSizes<T>& sizes = layer.inputs.weights->sizes;
      products += static_cast<double>(windows_ * schedule_.batch_size * sizes.gates_row()) *
                  static_cast<double>(sizes.hidden_size);
    }
    return static_cast<int>(
        std::clamp(products / grain_products, 1.0, static_cast<double>(team_.size())));
  }

  void work(int thread) {
    for (Size lag = 0; lag < k2_; ++lag) {
      const Range mine = part_of(windows_, threads_, thread);
      // Windows that still have a position at this lag; they are the later ones.
      Size begin = mine.begin;
      while (begin < mine.end && position(begin, lag) < 0) ++begin;
      if (begin < mine.end) {
        for (std::size_t layer = states_.size(); layer-- > 0;) {
          pointwise(layer, {begin, mine.end}, lag);
          carry_back(states_[layer], {begin, mine.end});
          if (layer > 0) pass_down(states_[layer], states_[layer - 1], {begin, mine.end}, lag);
        }
      }
      barrier_.wait();
    }
    for (LayerState<T>& state : states_)
      state.sums->sum(0, schedule_.steps(), part_of(state.sizes->panels(), threads_, thread),
                      thread);
    if (dx_ != nullptr)
      states_.front().sums->input_gradient(part_of(schedule_.rows, threads_, thread), dx_);
  }

  Size window_end(Size window) const { return std::min((window + 1) * k1_, schedule_.steps()); }
  Size position(Size window, Size lag) const { return window_end(window) - 1 - lag; }

  void pointwise(std::size_t layer, Range windows, Size lag) {
    LayerState<T>& state = states_[layer];
    const CellSizes<T>& sizes = *state.sizes;
    const LayerInputs<T>& inputs = state.layer->inputs;
    const Kept<T>& kept = *state.layer->kept;
    const Size batch = schedule_.batch_size, padded = sizes.padded, H = sizes.hidden_size;
    for (Size window = windows.begin; window < windows.end; ++window) {
      const Size step = position(window, lag);
      const Size row = schedule_.first_of(step), block = window * batch;
      StepBackward<T> q{};
      q.gates_row = q.dgates_row = sizes.gates_row();
      q.gates = kept.gates.data() + row * q.gates_row;
      q.dgates = state.dgates.data() + block * q.gates_row;
      q.h_prev = step == 0 ? inputs.h0 : inputs.y + schedule_.first_of(step - 1) * inputs.y_row;
      q.h_prev_row = step == 0 ? H : inputs.y_row;
      q.inner_prev = step == 0 ? kept.inner0.data()
                               : kept.inner.data() + schedule_.first_of(step - 1) * padded;
      q.inner_prev_state = (step == 0 ? batch : schedule_.rows) * padded;
      q.inner_next = kept.inner.data() + row * padded;
      q.inner_next_state = schedule_.rows * padded;
      q.inner_row = padded;
      if (layer + 1 < states_.size()) {
        q.dy_row = H;
        q.dy = states_[layer + 1].dx.data() + block * H;
      } else if (step >= window * k1_) {
        q.dy_row = dy_row_;
        q.dy = dy_ + row * dy_row_;
      }
      q.dh = state.dh.data() + block * padded;
      q.dinner = state.dinner.data() + block * padded;
      q.d_row = padded;
      q.dinner_state = windows_ * batch * padded;
      q.rows = batch;
      q.units = H;
      q.panel_end = sizes.panels();
      sizes.cell->backward(q);
      // No other window is at this step at this lag.
      sizes.kernels->add(state.total.data() + row * q.gates_row, q.dgates, batch * q.gates_row);
    }
  }

  // dh = past the product + dz W_hh, of all windows
  void carry_back(LayerState<T>& state, Range windows) {
    const CellSizes<T>& sizes = *state.sizes;
    const CellShape& shape = sizes.shape();
    const Size row = windows.begin * schedule_.batch_size;
    Product<T> product = back_product(sizes, state.dgates.data() + row * sizes.gates_row(),
                                      shape.hidden_begin, sizes.hidden_slots());
    product.b = state.layer->inputs.weights->hidden_back.data();
    product.vectors = sizes.padded / sizes.lanes();
    product.c = state.dh.data() + row * sizes.padded;
    product.c_row = product.columns = sizes.padded;
    product.init = shape.direct ? product.c : zero_row_.data();
    product.init_row = shape.direct ? product.c_row : 0;
    product.rows = windows.size() * schedule_.batch_size;
    product.panel_end = (product.vectors + panel_vectors - 1) / panel_vectors;
    sizes.kernels->product(product);
  }

  // The layer below gets dz W_ih as its dy, at the same positions of the same windows.
  void pass_down(LayerState<T>& state, const LayerState<T>& below, Range windows, Size lag) {
    const CellSizes<T>& sizes = *state.sizes;
    const Size batch = schedule_.batch_size, I = sizes.input_size, lanes = sizes.lanes();
    const Size row = windows.begin * batch;
    Product<T> product = back_product(sizes, state.dgates.data() + row * sizes.gates_row(),
                                      sizes.shape().input_begin, sizes.input_slots());
    product.b = state.layer->inputs.weights->input_back.data();
    product.vectors = (I + lanes - 1) / lanes;
    product.c = state.dx.data() + row * I;
    product.c_row = product.columns = I;
    product.init = zero_row_.data();
    product.rows = windows.size() * batch;
    product.panel_end = (product.vectors + panel_vectors - 1) / panel_vectors;
    sizes.kernels->product(product);
    const T* const mask = below.layer->mask;
    if (mask == nullptr) return;
    for (Size window = windows.begin; window < windows.end; ++window) {
      const T* const factors = mask + schedule_.first_of(position(window, lag)) * I;
      T* const block = state.dx.data() + window * batch * I;
      for (Size i = 0; i < batch * I; ++i) block[i] *= factors[i];
    }
  }

  const Schedule& schedule_;
  const T* dy_;
  Size dy_row_;
  T* dx_;
  Size k1_, k2_, windows_;
  Team team_;
  int threads_;
  Barrier barrier_;
  std::vector<LayerState<T>> states_;
  Size zeros_ = 0;
  Buffer<T> zero_row_;
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
