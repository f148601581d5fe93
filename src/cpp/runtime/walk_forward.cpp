// The walk forward: x W_ih for a stretch of time at once, then step by step through the stretch.
#include <algorithm>
#include <cstring>

#include "runtime/plan.hpp"
#include "runtime/thread_pool.hpp"
#include "runtime/walk.hpp"

namespace pyrnn {
namespace {

// Pre-activations of this many bytes stay in L2 between the large product and the steps.
constexpr Size stretch_bytes = 768 * 1024;
constexpr Size stretch_least_rows = 64;

// (batch, H) into (batch, padded) with zeros behind
template <class T>
void pad_rows(const T* from, Size rows, Size units, Size padded, T* to) {
  for (Size row = 0; row < rows; ++row) {
    std::memcpy(to + row * padded, from + row * units, static_cast<std::size_t>(units) * sizeof(T));
    std::fill(to + row * padded + units, to + (row + 1) * padded, T(0));
  }
}

template <class T>
class ForwardWalk {
 public:
  ForwardWalk(const Forward<T>& call, Kept<T>* kept)
      : call_(call),
        kept_(kept),
        sizes_(call.weights->sizes),
        schedule_(*call.schedule),
        team_(num_threads()),
        plan_(make_plan(sizes_, schedule_.batch_size, schedule_.steps(), team_.size())),
        barrier_(plan_.threads),
        row_parts_(schedule_.row_parts(plan_.threads)) {
    const Size batch = schedule_.batch_size;
    const Size inner = sizes_.inner_states() * batch * sizes_.padded;
    const Size row_bytes = sizes_.gates_row() * static_cast<Size>(sizeof(T));
    stretch_ = std::max<Size>(1, std::max(stretch_least_rows, stretch_bytes / row_bytes) / batch);
    stretch_ = std::min(stretch_, schedule_.steps());
    if (kept_ != nullptr) {
      kept_->gates = Buffer<T>(schedule_.rows * sizes_.gates_row());
      kept_->inner = Buffer<T>(sizes_.inner_states() * schedule_.rows * sizes_.padded);
      kept_->inner0 = Buffer<T>(inner);
    } else {
      gates_ = Buffer<T>(stretch_ * batch * sizes_.gates_row());
    }
    inner_ = kept_ == nullptr ? Buffer<T>(inner) : Buffer<T>();
    pad_rows(call_.inner0, sizes_.inner_states() * batch, sizes_.hidden_size, sizes_.padded,
             (kept_ != nullptr ? kept_->inner0 : inner_).data());
  }

  void run() {
    team_.run(plan_.threads, [this](int thread) { work(thread); });
    finish();
  }

 private:
  void work(int thread) {
    for (Size begin = 0; begin < schedule_.steps(); begin += stretch_) {
      const Size end = std::min(begin + stretch_, schedule_.steps());
      if (begin > 0 && plan_.split == Split::batch) barrier_.wait();
      const Range rows = schedule_.rows_of(begin, end);
      hoist(rows, thread);
      if (plan_.split == Split::batch) barrier_.wait();
      for (Size step = begin; step < end; ++step) {
        if (plan_.split == Split::units && step > 0) barrier_.wait();
        advance(step, rows.begin, thread);
      }
    }
  }

  // Pre-activations from row `row` on: in the cache, or in the stretch's own buffer.
  T* gates_at(Size row, Size stretch_row) {
    return kept_ != nullptr ? kept_->gates.data() + row * sizes_.gates_row()
                            : gates_.data() + (row - stretch_row) * sizes_.gates_row();
  }

  // x W_ih + b for some rows, split over threads by rows, or by the panels that a thread owns.
  void hoist(Range rows, int thread) {
    const Kernels<T>& kernels = *sizes_.kernels;
    T* const gates = gates_at(rows.begin, rows.begin);
    const Range part = plan_.split == Split::batch ? part_of(rows.size(), plan_.threads, thread)
                                                   : Range{0, rows.size()};
    const Range panels = owned_panels(thread);
    if (part.size() == 0 || panels.size() == 0) return;
    Product<T> product{};
    product.width = std::min<Size>(panel_vectors, sizes_.input_slots() * sizes_.shape().unit_vectors);
    product.vectors = sizes_.input_slots() * sizes_.padded / sizes_.lanes();
    product.b = call_.weights->input.data();
    product.init = call_.weights->bias.data() + sizes_.slot_offset(sizes_.shape().input_begin);
    product.init_panel = product.c_panel = sizes_.panel_stride();
    product.c_row = sizes_.gates_row();
    product.c = gates + part.begin * product.c_row + sizes_.slot_offset(sizes_.shape().input_begin);
    product.columns = product.vectors * sizes_.lanes();
    product.rows = part.size();
    product.k_outer = 1;
    product.k_inner = sizes_.input_size;
    product.panel_begin = panels.begin;
    product.panel_end = panels.end;
    const Size row = rows.begin + part.begin;
    if (call_.x.indices != nullptr) {
      kernels.gather_product(product, call_.x.indices + row);
    } else {
      product.a = call_.x.dense + row * call_.x.row;
      product.a_row = call_.x.row;
      kernels.product(product);
    }
    fill_hidden_only(gates + part.begin * product.c_row, part.size(), panels);
  }

  // Slots that x does not reach start from their bias.
  void fill_hidden_only(T* gates, Size rows, Range panels) {
    const CellShape& shape = sizes_.shape();
    const Size begin = sizes_.slot_offset(shape.input_end);
    const Size bytes = (shape.slots - shape.input_end) * sizes_.lanes() * static_cast<Size>(sizeof(T));
    if (bytes == 0) return;
    for (Size row = 0; row < rows; ++row) {
      for (Size panel = panels.begin; panel < panels.end; ++panel) {
        const Size at = panel * sizes_.panel_stride() + begin;
        std::memcpy(gates + row * sizes_.gates_row() + at, call_.weights->bias.data() + at,
                    static_cast<std::size_t>(bytes));
      }
    }
  }

  void advance(Size step, Size stretch_row, int thread) {
    const Range rows = owned_rows(step, thread);
    const Range panels = owned_panels(thread);
    if (rows.size() == 0 || panels.size() == 0) return;
    const Size H = sizes_.hidden_size;
    StepForward<T> q{};
    q.gates_row = sizes_.gates_row();
    q.gates = gates_at(schedule_.first_of(step) + rows.begin, stretch_row);
    q.h_prev = step == 0 ? call_.h0 + rows.begin * H
                         : call_.y + (schedule_.first_of(step - 1) + rows.begin) * call_.y_row;
    q.h_prev_row = step == 0 ? H : call_.y_row;
    q.h_next = call_.y + (schedule_.first_of(step) + rows.begin) * call_.y_row;
    q.h_next_row = call_.y_row;
    q.inner_row = sizes_.padded;
    const Size batch_state = schedule_.batch_size * sizes_.padded;
    const Size rows_state = schedule_.rows * sizes_.padded;
    if (kept_ == nullptr) {
      q.inner_prev = q.inner_next = inner_.data() + rows.begin * sizes_.padded;
      q.inner_prev_state = q.inner_next_state = batch_state;
    } else {
      q.inner_prev =
          step == 0 ? kept_->inner0.data() + rows.begin * sizes_.padded
                    : kept_->inner.data() + (schedule_.first_of(step - 1) + rows.begin) * sizes_.padded;
      q.inner_prev_state = step == 0 ? batch_state : rows_state;
      q.inner_next = kept_->inner.data() + (schedule_.first_of(step) + rows.begin) * sizes_.padded;
      q.inner_next_state = rows_state;
    }
    q.rows = rows.size();
    q.units = H;
    q.panel_begin = panels.begin;
    q.panel_end = panels.end;
    q.keep = kept_ != nullptr;

    Product<T>& product = q.product;
    const Size slot = sizes_.slot_offset(sizes_.shape().hidden_begin);
    product.a = q.h_prev;
    product.a_row = q.h_prev_row;
    product.b = call_.weights->hidden.data();
    product.width = std::min<Size>(panel_vectors, sizes_.hidden_slots() * sizes_.shape().unit_vectors);
    product.vectors = sizes_.hidden_slots() * sizes_.padded / sizes_.lanes();
    product.init = product.c = q.gates + slot;
    product.init_row = product.c_row = q.gates_row;
    product.init_panel = product.c_panel = sizes_.panel_stride();
    product.columns = product.vectors * sizes_.lanes();
    product.rows = q.rows;
    product.k_outer = 1;
    product.k_inner = H;
    sizes_.cell->forward(q);
  }

  // The last states after h, each sequence's at its own last step.
  void finish() {
    const Size H = sizes_.hidden_size, batch = schedule_.batch_size;
    for (int state = 0; state < sizes_.inner_states(); ++state) {
      for (Size step = 0; step < schedule_.steps(); ++step) {
        const Size next = step + 1 < schedule_.steps() ? schedule_.count_of(step + 1) : 0;
        for (Size n = next; n < schedule_.count_of(step); ++n) {
          const T* from = kept_ == nullptr
                              ? inner_.data() + (state * batch + n) * sizes_.padded
                              : kept_->inner.data() +
                                    (state * schedule_.rows + schedule_.first_of(step) + n) * sizes_.padded;
          std::memcpy(call_.inner_last + (state * batch + n) * H, from,
                      static_cast<std::size_t>(H) * sizeof(T));
        }
      }
    }
  }

  Range owned_rows(Size step, int thread) const {
    if (plan_.split != Split::batch) return {0, schedule_.count_of(step)};
    const Range mine = row_parts_[static_cast<std::size_t>(thread)];
    return {std::min(mine.begin, schedule_.count_of(step)), std::min(mine.end, schedule_.count_of(step))};
  }

  Range owned_panels(int thread) const {
    if (plan_.split != Split::units) return {0, sizes_.panels()};
    return panels_of(sizes_, plan_.threads, thread);
  }

  const Forward<T>& call_;
  Kept<T>* kept_;
  const CellSizes<T>& sizes_;
  const Schedule& schedule_;
  Team team_;
  Plan plan_;
  Barrier barrier_;
  std::vector<Range> row_parts_;
  Size stretch_ = 1;
  Buffer<T> gates_, inner_;
};

}  // namespace

template <class T>
void walk_forward(const Forward<T>& call, Kept<T>* kept) {
  ForwardWalk<T>(call, kept).run();
}

template void walk_forward(const Forward<float>&, Kept<float>*);
template void walk_forward(const Forward<double>&, Kept<double>*);

}  // namespace pyrnn
