// The forward pass: x W_ih for a stretch of time at once, then step by step through the stretch.
#include <algorithm>
#include <vector>

#include "runtime/layout/rows.hpp"
#include "runtime/threads/pieces.hpp"
#include "runtime/threads/pool.hpp"
#include "runtime/walk/plan.hpp"
#include "runtime/walk/walk.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

template <class T>
class ForwardWalk {
 public:
  ForwardWalk(const Forward<T>& call, SavedValues<T>* saved)
      : call_(call),
        saved_(saved),
        sizes_(call.weights->sizes),
        schedule_(*call.schedule),
        team_(num_threads()),
        assignment_(sizes_, schedule_, team_.size(), saved != nullptr) {
    const Size batch = schedule_.batch_size, O = sizes_.output_size;
    const Size row_bytes = sizes_.gates_row() * static_cast<Size>(sizeof(T));
    const bool near =
        sizes_.gates_row() * sizes_.weight_bytes() * (sizes_.input_size + O) <= tuning::l2_weights;
    const Size bytes = near ? tuning::stretch_bytes : tuning::far_stretch_bytes;
    stretch_rows_ = std::max(tuning::least_stretch_rows, bytes / row_bytes);
    panels_at_once_ = sizes_.panels();
    if (!sizes_.shape().whole_rows)
      panels_at_once_ = std::clamp<Size>(
          tuning::piece_products / std::max<Size>(1, batch * O * sizes_.panel_numbers()), 1,
          panels_at_once_);
    const bool masked = call_.noise.hidden_mask != nullptr;
    if (saved_ != nullptr) {
      *saved_ =
          SavedValues<T>(sizes_, assignment_.slices, schedule_.rows, schedule_.rows, batch, masked);
    } else {
      // Pre-activations of a stretch; of the others two steps, as each looks at the one before.
      const Size gate_rows = std::min(std::max(stretch_rows_, batch), schedule_.rows);
      own_ = SavedValues<T>(sizes_, assignment_.slices, gate_rows, 2 * batch, batch, masked);
      own_gate_steps_ = gate_rows / std::max<Size>(1, batch);
    }
    pad_rows(call_.inner0, sizes_.inner_states() * batch, sizes_.hidden_size, sizes_.padded,
             values().inner0.data());
    if (masked)
      mask_rows<T>({call_.h0, O}, {call_.noise.hidden_mask, O}, {values().hidden0.data(), O}, batch,
                   {0, O});
  }

  void run() {
    phases_ = phases();
    make_steps();
    const int parts = assignment_.plan.threads;
    if (by_step() || assigns_by_stretch()) {
      team_.run(parts, static_cast<Size>(phases_.size()), [&](Size phase, int part) {
        const Phase& now = phases_[static_cast<std::size_t>(phase)];
        work(now, assignment_.rows(now.stretch.begin, now.stretch.end, part), part);
      });
    } else {
      for (int part = 0; part < parts; ++part)
        remaining_.push_back({assignment_.rows(0, schedule_.steps(), part), 0, 0});
      team_.run_divisible(parts, [&](int part) { walk(part); });
    }
    finish();
  }

 private:
  // Whether threads need what the others have found at the step before.
  bool by_step() const {
    return assignment_.plan.split == Split::units && sizes_.shape().has_hidden();
  }
  // Whether threads get other rows in each stretch; they keep them if sequences are equally long.
  bool assigns_by_stretch() const {
    return assignment_.plan.split == Split::batch && !schedule_.uniform();
  }

  // What a part does without looking at what others do.
  struct Phase {
    Range stretch, steps;
    bool hoists;         // begins with the stretch's products of x
    bool first, second;  // which of a step's two products; the second goes with what is left of it
  };

  std::vector<Phase> phases() const {
    std::vector<Phase> phases;
    for (Size begin = 0, end = 0; begin < schedule_.steps(); begin = end) {
      end = schedule_.stretch_from(begin, stretch_rows_);
      const Range stretch{begin, end};
      if (by_step()) {
        for (Size step = begin; step < end; ++step) {
          const Range steps{step, step + 1};
          phases.push_back({stretch, steps, step == begin, true, !sizes_.two_products()});
          if (sizes_.two_products()) phases.push_back({stretch, steps, false, false, true});
        }
      } else if (assigns_by_stretch()) {
        phases.push_back({stretch, {begin, begin}, true, false, false});
        phases.push_back({stretch, stretch, false, true, true});
      } else {
        phases.push_back({stretch, stretch, true, true, true});
      }
    }
    return phases;
  }

  // Computes the rows of a part from a step on, through all stretches from `phase` on.
  struct Remaining {
    Range rows;
    std::size_t phase;
    Size step;
  };

  // All stretches for rows that no other part looks at. Cores are seldom equally fast: a thread
  // that is through with its own gets half of what is left to another.
  void walk(int part) {
    Remaining mine = remaining_[static_cast<std::size_t>(part)];
    for (; mine.phase < phases_.size(); ++mine.phase) {
      Phase phase = phases_[mine.phase];
      for (; mine.step < phase.stretch.end; ++mine.step) {
        divide(mine);
        phase.steps = {mine.step, mine.step + 1};
        phase.hoists = mine.step == phase.stretch.begin;
        work(phase, mine.rows, part);
      }
    }
  }

  void divide(Remaining& mine) {
    if (assignment_.plan.split != Split::batch || !team_.has_waiting()) return;
    if (!worth_dividing(sizes_, mine.rows.size(), schedule_.steps() - mine.step)) return;
    const int part = team_.take_vacant_part();
    if (part < 0) return;
    const Size middle = mine.rows.begin + mine.rows.size() / 2;
    remaining_[static_cast<std::size_t>(part)] = {{middle, mine.rows.end}, mine.phase, mine.step};
    mine.rows.end = middle;
    team_.hand_over(part);
  }

  void work(const Phase& phase, Range mine, int part) {
    const auto [begin, end] = phase.stretch;
    if (phase.hoists) hoist(begin, end, mine, part);
    const Size stretch_row = schedule_.rows_of(begin, end).begin;
    for (Size step = phase.steps.begin; step < phase.steps.end; ++step) {
      const Range rows = assignment_.rows_at(step, mine);
      if (rows.size() == 0) continue;
      steps_[static_cast<std::size_t>(part)].pace.tick();
      StepForward<T>& q = rows_of(step, rows, stretch_row, part);
      if (phase.first) first_product(q, step, rows);
      if (phase.second) finish_step(q, step, rows, part);
    }
  }

  SavedValues<T>& values() { return saved_ != nullptr ? *saved_ : own_; }

  // Where a sequence's values of a step are among those that are saved: a row of each.
  Size saved_row(Size step, Size n) const {
    if (saved_ != nullptr)
      return assignment_.slices.row(schedule_.first_of(step), n, schedule_.steps());
    return assignment_.slices.row(step % 2 * schedule_.batch_size, n, 2);
  }

  // Pre-activations of sequence n, of the step whose rows begin at `first`: in the cache, or among
  // those of the stretch alone.
  T* gates_at(Size first, Size n, Size stretch_row) {
    const Slices& slices = assignment_.slices;
    const Size row = saved_ != nullptr ? slices.row(first, n, schedule_.steps())
                                       : slices.row(first - stretch_row, n, own_gate_steps_);
    return values().gates.data() + row * sizes_.gates_row();
  }

  // x W_ih for steps [begin, end): for the rows that this part walks, or its part of all, or
  // the panels that it owns.
  void hoist(Size begin, Size end, Range mine, int part) {
    const Range all = schedule_.rows_of(begin, end), panels = assignment_.panels(part);
    Size first = 0;
    StepRows steps{all.size()};
    if (assignment_.plan.split == Split::batch && schedule_.uniform()) {
      first = mine.begin;
      steps = {mine.size(), end - begin, schedule_.batch_size, assignment_.slices.stride(first)};
    } else if (assignment_.plan.split == Split::batch) {
      const Range some = split(all.size(), assignment_.plan.threads, part);
      first = some.begin;
      steps.count = some.size();
    }
    if (steps.count == 0 || panels.size() == 0) return;
    const InputRows<T> x = call_.x.from(all.begin + first);
    T* const gates = gates_at(all.begin, first, all.begin);
    in_pieces(panels, steps.count * steps.groups * sizes_.input_size * sizes_.panel_numbers(), 1,
              [&](Range some) { input_product(*call_.weights, x, gates, steps, some); });
  }

  // What a part hands to kernels at every step: the same but for a few fields. Parts share no cache
  // line, nor two that are fetched together.
  struct alignas(128) OwnStep {
    StepForward<T> step;
    Pace pace;
  };

  void make_steps() {
    for (int part = 0; part < assignment_.plan.threads; ++part) {
      const Range panels = assignment_.panels(part);
      StepForward<T> q = step_of(*call_.weights);
      q.h_next_row = call_.y_row;
      q.inner_next_state = values().rows * sizes_.padded;
      q.panel_begin = panels.begin;
      q.panel_end = panels.end;
      q.keep = saved_ != nullptr;
      steps_.push_back({q, {}});
    }
  }

  StepForward<T>& rows_of(Size step, Range rows, Size stretch_row, int part) {
    const Size O = sizes_.output_size, padded = sizes_.padded, batch = schedule_.batch_size;
    const Size first = schedule_.first_of(step), row = first + rows.begin;
    const Size saved = saved_row(step, rows.begin);
    const Size before = step == 0 ? rows.begin : saved_row(step - 1, rows.begin);
    SavedValues<T>& values = this->values();
    StepForward<T>& q = steps_[static_cast<std::size_t>(part)].step;
    q.gates = gates_at(first, rows.begin, stretch_row);
    q.h_prev = step == 0 ? call_.h0 + rows.begin * O
                         : call_.y + (schedule_.first_of(step - 1) + rows.begin) * call_.y_row;
    q.h_prev_row = step == 0 ? O : call_.y_row;
    q.h_next = call_.y + row * call_.y_row;
    q.inner_prev = (step == 0 ? values.inner0.data() : values.inner.data()) + before * padded;
    q.inner_prev_state = step == 0 ? batch * padded : q.inner_next_state;
    q.inner_next = values.inner.data() + saved * padded;
    q.u = values.u.data() + saved * padded;
    q.rows = rows.size();
    q.product.last_first = step % 2 == 1;
    return q;
  }

  void first_product(StepForward<T>& q, Size step, Range rows) {
    if (call_.noise.hidden_mask == nullptr) {
      multiply_hidden(q, q.h_prev, q.h_prev_row);
      return;
    }
    const Size O = sizes_.output_size;
    const T* const masked = step == 0
                                ? values().hidden0.data() + rows.begin * O
                                : values().hidden.data() + saved_row(step - 1, rows.begin) * O;
    multiply_hidden(q, masked, O);
  }

  // Panels of the largest networks' steps take long.
  void multiply_hidden(StepForward<T>& q, const T* h, Size h_row) {
    const Range mine{q.panel_begin, q.panel_end};
    if (mine.size() <= panels_at_once_) {
      hidden_step(*call_.weights, q, h, h_row);
      return;
    }
    for (Size panel = mine.begin; panel < mine.end; panel += panels_at_once_) {
      q.panel_begin = panel;
      q.panel_end = std::min(panel + panels_at_once_, mine.end);
      check_interrupts();
      hidden_step(*call_.weights, q, h, h_row);
    }
    q.panel_begin = mine.begin;
    q.panel_end = mine.end;
  }

  void finish_step(StepForward<T>& q, Size step, Range rows, int part) {
    if (sizes_.two_products()) second_step(*call_.weights, q, assignment_.outputs(part));
    add_noise(q, schedule_.first_of(step) + rows.begin, rows.begin, saved_row(step, rows.begin),
              part);
  }

  // Noise, on what this part owns: zoneout keeps some of the old values; h is masked for the
  // products of the next step.
  void add_noise(const StepForward<T>& q, Size row, Size sequence, Size saved, int part) {
    const Noise<T>& noise = call_.noise;
    const Range units = assignment_.units(part), outputs = assignment_.output_units(part);
    const Size O = sizes_.output_size;
    zone_out<T>(noise.zoneout[0].from(row), {q.h_prev, q.h_prev_row}, {q.h_next, q.h_next_row},
                q.rows, outputs);
    for (int s = 1; s <= sizes_.inner_states(); ++s) {
      zone_out<T>(noise.zoneout[s].from(row),
                  {q.inner_prev + (s - 1) * q.inner_prev_state, q.inner_row},
                  {q.inner_next + (s - 1) * q.inner_next_state, q.inner_row}, q.rows, units);
    }
    if (noise.hidden_mask != nullptr)
      mask_rows<T>({q.h_next, q.h_next_row}, {noise.hidden_mask + sequence * O, O},
                   {values().hidden.data() + saved * O, O}, q.rows, outputs);
  }

  // The last states after h, each sequence's at its own last step.
  void finish() {
    const Size H = sizes_.hidden_size, batch = schedule_.batch_size;
    for (int state = 0; state < sizes_.inner_states(); ++state) {
      const T* const from = values().inner.data() + state * values().rows * sizes_.padded;
      schedule_.each_last_row([&](Size step, Size n) {
        copy_rows(from + saved_row(step, n) * sizes_.padded, sizes_.padded,
                  call_.inner_last + (state * batch + n) * H, H, 1, H);
      });
    }
  }

  const Forward<T>& call_;
  SavedValues<T>* saved_;
  const CellSizes<T>& sizes_;
  const Schedule& schedule_;
  Team team_;
  Assignment<T> assignment_;
  Size stretch_rows_ = 1, own_gate_steps_ = 0;
  Size panels_at_once_ = 1;  // of a step's product
  std::vector<Phase> phases_;
  std::vector<OwnStep> steps_;        // of each part
  std::vector<Remaining> remaining_;  // one of each part
  SavedValues<T> own_;
};

}  // namespace

template <class T>
void walk_forward(const Forward<T>& call, SavedValues<T>* saved) {
  ForwardWalk<T>(call, saved).run();
}

template void walk_forward(const Forward<float>&, SavedValues<float>*);
template void walk_forward(const Forward<double>&, SavedValues<double>*);

}  // namespace pyrnn
