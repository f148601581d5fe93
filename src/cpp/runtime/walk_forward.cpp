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
        shares_(sizes_, schedule_, team_.size()),
        barrier_(shares_.plan.threads) {
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
    team_.run(shares_.plan.threads, [this](int thread) { work(thread); });
    finish();
  }

 private:
  void work(int thread) {
    for (Size begin = 0; begin < schedule_.steps(); begin += stretch_) {
      const Size end = std::min(begin + stretch_, schedule_.steps());
      if (begin > 0 && shares_.plan.split == Split::batch) barrier_.wait();
      const Range rows = schedule_.rows_of(begin, end);
      hoist(rows, thread);
      if (shares_.plan.split == Split::batch) barrier_.wait();
      for (Size step = begin; step < end; ++step) {
        if (shares_.plan.split == Split::units && step > 0) barrier_.wait();
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
    const Range part = shares_.plan.split == Split::batch
                           ? part_of(rows.size(), shares_.plan.threads, thread)
                           : Range{0, rows.size()};
    const Range panels = shares_.panels(thread);
    if (part.size() == 0 || panels.size() == 0) return;
    input_product(*call_.weights, call_.x.from(rows.begin + part.begin),
                  gates_at(rows.begin + part.begin, rows.begin), part.size(), panels);
  }

  void advance(Size step, Size stretch_row, int thread) {
    const Range rows = shares_.rows(step, thread);
    const Range panels = shares_.panels(thread);
    if (rows.size() == 0 || panels.size() == 0) return;
    const Size H = sizes_.hidden_size;
    StepForward<T> q{};
    q.gates = gates_at(schedule_.first_of(step) + rows.begin, stretch_row);
    q.h_prev = step == 0 ? call_.h0 + rows.begin * H
                         : call_.y + (schedule_.first_of(step - 1) + rows.begin) * call_.y_row;
    q.h_prev_row = step == 0 ? H : call_.y_row;
    q.h_next = call_.y + (schedule_.first_of(step) + rows.begin) * call_.y_row;
    q.h_next_row = call_.y_row;
    const Size batch_state = schedule_.batch_size * sizes_.padded;
    const Size rows_state = schedule_.rows * sizes_.padded;
    if (kept_ == nullptr) {
      q.inner_prev = q.inner_next = inner_.data() + rows.begin * sizes_.padded;
      q.inner_prev_state = q.inner_next_state = batch_state;
    } else {
      q.inner_prev = step == 0 ? kept_->inner0.data() + rows.begin * sizes_.padded
                               : kept_->inner.data() +
                                     (schedule_.first_of(step - 1) + rows.begin) * sizes_.padded;
      q.inner_prev_state = step == 0 ? batch_state : rows_state;
      q.inner_next = kept_->inner.data() + (schedule_.first_of(step) + rows.begin) * sizes_.padded;
      q.inner_next_state = rows_state;
    }
    q.rows = rows.size();
    q.panel_begin = panels.begin;
    q.panel_end = panels.end;
    q.keep = kept_ != nullptr;
    hidden_step(*call_.weights, q);
  }

  // The last states after h, each sequence's at its own last step.
  void finish() {
    const Size H = sizes_.hidden_size, batch = schedule_.batch_size;
    for (int state = 0; state < sizes_.inner_states(); ++state) {
      for (Size step = 0; step < schedule_.steps(); ++step) {
        const Size next = step + 1 < schedule_.steps() ? schedule_.count_of(step + 1) : 0;
        for (Size n = next; n < schedule_.count_of(step); ++n) {
          const T* from =
              kept_ == nullptr
                  ? inner_.data() + (state * batch + n) * sizes_.padded
                  : kept_->inner.data() +
                        (state * schedule_.rows + schedule_.first_of(step) + n) * sizes_.padded;
          std::memcpy(call_.inner_last + (state * batch + n) * H, from,
                      static_cast<std::size_t>(H) * sizeof(T));
        }
      }
    }
  }

  const Forward<T>& call_;
  Kept<T>* kept_;
  const CellSizes<T>& sizes_;
  const Schedule& schedule_;
  Team team_;
  Shares<T> shares_;
  Barrier barrier_;
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
