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
    const Size batch = schedule_.batch_size, O = sizes_.output_size;
    const Size row_bytes = sizes_.gates_row() * static_cast<Size>(sizeof(T));
    stretch_rows_ = std::max(stretch_least_rows, stretch_bytes / row_bytes);
    const bool masked = call_.noise.hidden_mask != nullptr;
    if (kept_ != nullptr) {
      *kept_ = Kept<T>(sizes_, schedule_.rows, schedule_.rows, batch, masked);
    } else {
      // Pre-activations of a stretch; of the others two steps, as each looks at the one before.
      const Size gate_rows = std::min(std::max(stretch_rows_, batch), schedule_.rows);
      own_ = Kept<T>(sizes_, gate_rows, 2 * batch, batch, masked);
    }
    pad_rows(call_.inner0, sizes_.inner_states() * batch, sizes_.hidden_size, sizes_.padded,
             values().inner0.data());
    if (masked)
      mask_rows<T>({call_.h0, O}, {call_.noise.hidden_mask, O}, {values().hidden0.data(), O}, batch,
                   {0, O});
  }

  void run() {
    team_.run(shares_.plan.threads, [this](int thread) { work(thread); });
    finish();
  }

 private:
  void work(int thread) {
    // Threads keep their rows where sequences are equally long, and need not wait for each other.
    const bool waits = shares_.plan.split == Split::batch && !schedule_.uniform();
    for (Size begin = 0, end = 0; begin < schedule_.steps(); begin = end) {
      end = schedule_.stretch_from(begin, stretch_rows_);
      const Range mine = shares_.rows(begin, end, thread);
      if (begin > 0 && waits) barrier_.wait();
      hoist(begin, end, mine, thread);
      if (waits) barrier_.wait();
      for (Size step = begin; step < end; ++step) {
        if (shares_.plan.split == Split::units && step > 0 && sizes_.shape().has_hidden())
          barrier_.wait();
        advance(step, shares_.rows_at(step, mine), schedule_.rows_of(begin, end).begin, thread);
      }
    }
  }

  Kept<T>& values() { return kept_ != nullptr ? *kept_ : own_; }

  // Where a step's values are among those that are kept: a row of each, from the step's first on.
  Size place(Size step) const {
    if (kept_ != nullptr) return schedule_.first_of(step);
    return step % 2 * schedule_.batch_size;
  }

  // Pre-activations from row `row` on: in the cache, or among those of the stretch alone.
  T* gates_at(Size row, Size stretch_row) {
    const Size at = kept_ != nullptr ? row : row - stretch_row;
    return values().gates.data() + at * sizes_.gates_row();
  }

  // x W_ih + b for steps [begin, end): for the rows that this thread walks, or its part of all, or
  // the panels that it owns.
  void hoist(Size begin, Size end, Range mine, int thread) {
    const Range all = schedule_.rows_of(begin, end), panels = shares_.panels(thread);
    Range rows = all;
    StepRows steps{all.size(), 1, 0};
    if (shares_.plan.split == Split::batch && schedule_.uniform()) {
      rows.begin += mine.begin;
      steps = {mine.size(), end - begin, schedule_.batch_size};
    } else if (shares_.plan.split == Split::batch) {
      const Range part = part_of(all.size(), shares_.plan.threads, thread);
      rows.begin += part.begin;
      steps.count = part.size();
    }
    if (steps.count == 0 || panels.size() == 0) return;
    input_product(*call_.weights, call_.x.from(rows.begin), gates_at(rows.begin, all.begin), steps,
                  panels);
  }

  void advance(Size step, Range rows, Size stretch_row, int thread) {
    const Range panels = shares_.panels(thread);
    if (rows.size() == 0) return;
    const Size O = sizes_.output_size, padded = sizes_.padded, batch = schedule_.batch_size;
    const Size row = schedule_.first_of(step) + rows.begin, at = place(step) + rows.begin;
    const Size before = step == 0 ? rows.begin : place(step - 1) + rows.begin;
    Kept<T>& values = this->values();
    StepForward<T> q{};
    q.gates = gates_at(row, stretch_row);
    q.h_prev = step == 0 ? call_.h0 + rows.begin * O
                         : call_.y + (schedule_.first_of(step - 1) + rows.begin) * call_.y_row;
    q.h_prev_row = step == 0 ? O : call_.y_row;
    q.h_next = call_.y + row * call_.y_row;
    q.h_next_row = call_.y_row;
    const Size state = values_rows() * padded;
    q.inner_prev = (step == 0 ? values.inner0.data() : values.inner.data()) + before * padded;
    q.inner_prev_state = step == 0 ? batch * padded : state;
    q.inner_next = values.inner.data() + at * padded;
    q.inner_next_state = state;
    q.u = values.u.data() + at * padded;
    q.rows = rows.size();
    q.panel_begin = panels.begin;
    q.panel_end = panels.end;
    q.keep = kept_ != nullptr;
    if (call_.noise.hidden_mask != nullptr) {
      hidden_step(*call_.weights, q,
                  (step == 0 ? values.hidden0.data() : values.hidden.data()) + before * O, O);
    } else {
      hidden_step(*call_.weights, q, q.h_prev, q.h_prev_row);
    }
    if (sizes_.two_products()) {
      if (shares_.plan.split == Split::units) barrier_.wait();
      second_step(*call_.weights, q, shares_.outputs(thread));
    }
    add_noise(q, row, rows.begin, at, thread);
  }

  // What regularises, on what this thread owns: some of the old values stay; h is masked for the
  // products of the next step.
  void add_noise(const StepForward<T>& q, Size row, Size sequence, Size at, int thread) {
    const Noise<T>& noise = call_.noise;
    const Range units = shares_.units(thread), outputs = shares_.output_units(thread);
    const Size O = sizes_.output_size;
    if (noise.zoneout[0] != nullptr)
      zone_out<T>({noise.zoneout[0] + row * noise.zoneout_row[0], noise.zoneout_row[0]},
                  {q.h_prev, q.h_prev_row}, {q.h_next, q.h_next_row}, q.rows, outputs);
    for (int s = 1; s <= sizes_.inner_states(); ++s) {
      if (noise.zoneout[s] == nullptr) continue;
      zone_out<T>({noise.zoneout[s] + row * noise.zoneout_row[s], noise.zoneout_row[s]},
                  {q.inner_prev + (s - 1) * q.inner_prev_state, q.inner_row},
                  {q.inner_next + (s - 1) * q.inner_next_state, q.inner_row}, q.rows, units);
    }
    if (noise.hidden_mask != nullptr)
      mask_rows<T>({q.h_next, q.h_next_row}, {noise.hidden_mask + sequence * O, O},
                   {values().hidden.data() + at * O, O}, q.rows, outputs);
  }

  Size values_rows() const { return kept_ != nullptr ? schedule_.rows : 2 * schedule_.batch_size; }

  // The last states after h, each sequence's at its own last step.
  void finish() {
    const Size H = sizes_.hidden_size, batch = schedule_.batch_size;
    for (int state = 0; state < sizes_.inner_states(); ++state) {
      for (Size step = 0; step < schedule_.steps(); ++step) {
        const Size next = step + 1 < schedule_.steps() ? schedule_.count_of(step + 1) : 0;
        for (Size n = next; n < schedule_.count_of(step); ++n) {
          const T* from =
              values().inner.data() + (state * values_rows() + place(step) + n) * sizes_.padded;
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
  Size stretch_rows_ = 1;
  Kept<T> own_;
};

}  // namespace

template <class T>
void walk_forward(const Forward<T>& call, Kept<T>* kept) {
  ForwardWalk<T>(call, kept).run();
}

template void walk_forward(const Forward<float>&, Kept<float>*);
template void walk_forward(const Forward<double>&, Kept<double>*);

}  // namespace pyrnn
