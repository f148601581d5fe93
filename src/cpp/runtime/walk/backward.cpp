// Back-propagation through time: step by step back through a stretch of time, then the large
// products of that stretch (weights' gradients, dx) while its gradients are in cache.
//
// These products depend on no other thread, so they are cut into pieces, which any thread takes
// when it has done its own part of the next stretch: cores are seldom equally fast, and another
// process can halve the speed of one. A thread begins with the pieces of its own rows or columns.
#include <algorithm>
#include <atomic>
#include <vector>

#include "runtime/layout/rows.hpp"
#include "runtime/threads/pieces.hpp"
#include "runtime/threads/pool.hpp"
#include "runtime/walk/plan.hpp"
#include "runtime/walk/step_back.hpp"
#include "runtime/walk/walk.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

template <class T>
class BackwardWalk {
 public:
  BackwardWalk(const Backward<T>& call, SavedValues<T>& saved, GradientSums<T>& sums)
      : call_(call),
        saved_(saved),
        sums_(sums),
        sizes_(call.inputs.weights->sizes),
        schedule_(*call.inputs.schedule),
        team_(num_threads()),
        assignment_(sizes_, schedule_, team_.size(), saved.slices),
        paces_(assignment_.plan.threads),
        state_(sizes_, schedule_.batch_size, call.noise, assignment_.plan.threads),
        back_(call.inputs, saved, call.noise, sums, state_) {
    const Size batch = schedule_.batch_size, padded = sizes_.padded;
    const Size H = sizes_.hidden_size, O = sizes_.output_size;
    if (sizes_.projected) projected_ = Buffer<T>(schedule_.rows * sizes_.padded_output);
    copy_rows(call_.dh_last, O, state_.dh.data(), sizes_.padded_output, batch, O);
    copy_rows(call_.dinner_last, H, state_.dinner.data(), padded, sizes_.inner_states() * batch, H);
    sums_.begin(call.inputs, saved, {saved.gates.data(), projected_.data()},
                assignment_.plan.threads);
    for (Size end = schedule_.steps(); end > 0; end = stretches_.back().begin)
      stretches_.push_back(
          {sums_.stretch_to(schedule_.stretch_to(end, rows_of_stretch()), end), end});
    pieces_taken_ = std::vector<std::atomic<int>>(
        stretches_.size() * static_cast<std::size_t>(assignment_.plan.threads));
  }

  void run() {
    const int parts = assignment_.plan.threads;
    if (assignment_.plan.split == Split::units && sizes_.shape().has_hidden()) {
      team_.run(parts, schedule_.steps() * step_phases() + 1,
                [this](Size phase, int part) { work_by_step(phase, part); });
    } else {
      team_.run(parts, static_cast<Size>(stretches_.size()) + 1,
                [this](Size phase, int part) { work_by_stretch(phase, part); });
    }
    finish();
  }

 private:
  Size rows_of_stretch() const {
    if (assignment_.plan.split != Split::sums)
      return tuning::summed_rows * assignment_.slices.count();
    return std::clamp(schedule_.rows / tuning::stretches_behind, tuning::least_rows_behind,
                      tuning::summed_rows);
  }

  // A part of the rows: the steps of a stretch, then pieces of the sums of the last that all have
  // walked, which is the one before if there are others.
  void work_by_stretch(Size phase, int part) {
    const std::size_t stretch = static_cast<std::size_t>(phase);
    const std::size_t others = assignment_.plan.threads > 1 ? 1 : 0;
    if (stretch < stretches_.size()) walk_stretch(stretches_[stretch], part);
    if (stretch >= others && stretch - others < stretches_.size())
      sum_stretch(stretch - others, part);
  }

  void walk_stretch(Range stretch, int part) {
    const auto [begin, end] = stretch;
    const Range mine = assignment_.rows(begin, end, part);
    for (Size step = end - 1; step >= begin; --step) {
      const Range rows = assignment_.rows_at(step, mine);
      if (rows.size() == 0) continue;
      paces_.tick(part);
      each(step, rows, [&](const BackRows<T>& these) {
        enter(these, part);
        differentiate(these, part);
        differentiate_first(these, part);
        leave(these, part);
      });
    }
  }

  // A part of the units: the end of the step before this, then this one up to where products need
  // what other parts have found.
  Size step_phases() const { return 1 + projections() + (sizes_.shape().has_second() ? 1 : 0); }
  Size projections() const { return sizes_.projected ? 1 : 0; }

  void work_by_step(Size phase, int part) {
    const Size step = schedule_.steps() - 1 - phase / step_phases();
    const Size in_step = phase % step_phases();
    paces_.tick(part);
    if (in_step == 0 && step + 1 < schedule_.steps())
      each(step + 1, {0, schedule_.count_of(step + 1)},
           [&](const BackRows<T>& these) { leave(these, part); });
    if (step >= 0) {
      each(step, {0, schedule_.count_of(step)}, [&](const BackRows<T>& these) {
        if (in_step == 0) enter(these, part);
        if (in_step == projections()) differentiate(these, part);
        if (in_step == step_phases() - 1) differentiate_first(these, part);
      });
    }
    if (in_step == 0 && step + 1 < schedule_.steps()) sum_if_over(step + 1, part);
  }

  // Pieces of the sums of the stretch that begins with a step, if there is one.
  void sum_if_over(Size step, int part) {
    const auto stretch =
        std::lower_bound(stretches_.begin(), stretches_.end(), step,
                         [](Range other, Size begin) { return other.begin > begin; });
    if (stretch->begin == step)
      sum_stretch(static_cast<std::size_t>(stretch - stretches_.begin()), part);
  }

  void enter(const BackRows<T>& these, int part) {
    if (back_.enters()) back_.enter(these, assignment_.output_units(part), assignment_.units(part));
  }

  void differentiate(const BackRows<T>& these, int part) {
    if (sizes_.projected) back_.project(these, assignment_.unit_columns(part));
    back_.pointwise(these, assignment_.panels(part), part);
  }

  void differentiate_first(const BackRows<T>& these, int part) {
    if (!sizes_.shape().has_second()) return;
    back_.second_product(these, assignment_.unit_columns(part));
    back_.pointwise_first(these, assignment_.panels(part), part);
  }

  void leave(const BackRows<T>& these, int part) {
    back_.carry(these, assignment_.outputs(part));
    if (back_.leaves()) back_.leave(these, assignment_.output_units(part), assignment_.units(part));
  }

  // Calls work(rows) for some rows of a step, slice by slice.
  template <class Work>
  void each(Size step, Range rows, const Work& work) {
    assignment_.slices.each(rows, [&](Range some) { work(rows_of(step, some)); });
  }

  Size saved_row(Size first, Size n) const {
    return assignment_.slices.row(first, n, schedule_.steps());
  }

  BackRows<T> rows_of(Size step, Range rows) {
    BackRows<T> these{};
    these.row = schedule_.first_of(step) + rows.begin;
    these.saved_row = saved_row(schedule_.first_of(step), rows.begin);
    these.previous = these.saved_previous = -1;
    if (step > 0) {
      these.previous = schedule_.first_of(step - 1) + rows.begin;
      these.saved_previous = saved_row(schedule_.first_of(step - 1), rows.begin);
    }
    these.sequence = these.state = rows.begin;
    these.last_first = step % 2 == 1;
    these.count = rows.size();
    these.steps = call_.inputs.first_step + step;
    these.dy = call_.dy + these.row * call_.dy_row;
    these.dy_row = call_.dy_row;
    these.dgates = saved_.gates.data() + these.saved_row * sizes_.gates_row();
    these.projected = projected_.data() + these.saved_row * sizes_.padded_output;
    return these;
  }

  // What the stretch adds to the gradients of weights and biases, and its dx: each thread's pieces,
  // then those of the others, until none is left that nobody has taken.
  void sum_stretch(std::size_t stretch, int part) {
    const int threads = assignment_.plan.threads;
    for (int i = 0, owner = part; i < threads; ++i, owner = owner + 1 < threads ? owner + 1 : 0) {
      const Range weights = split(weight_pieces(), threads, owner);
      const Range inputs = split(input_pieces(), threads, owner);
      const std::size_t first = stretch * static_cast<std::size_t>(threads);
      std::atomic<int>& taken = pieces_taken_[first + static_cast<std::size_t>(owner)];
      for (Size piece = taken++; piece < weights.size() + inputs.size(); piece = taken++) {
        if (piece < weights.size()) {
          sum_weights(stretches_[stretch], static_cast<int>(weights.begin + piece), part);
        } else {
          const Size input = inputs.begin + piece - weights.size();
          sum_inputs(stretches_[stretch], static_cast<int>(input));
        }
      }
    }
  }

  // Bands, and the panels of each in pieces where there are too few of them.
  int weight_pieces() const { return schedule_.bands * band_pieces(); }
  int band_pieces() const {
    const int threads = assignment_.plan.threads;
    if (schedule_.bands >= threads) return 1;
    const Size most = std::max<Size>(threads, sizes_.gates() / tuning::piece_columns);
    return static_cast<int>(std::min<Size>(most, threads * tuning::pieces_of_a_thread));
  }
  int input_pieces() const {
    return call_.dx == nullptr ? 0 : assignment_.slices.count() * slice_pieces();
  }
  int slice_pieces() const {
    const int threads = assignment_.plan.threads;
    return threads == 1
               ? 1
               : std::max(1, threads * tuning::pieces_of_a_thread / assignment_.slices.count());
  }

  void sum_weights(Range stretch, int piece, int part) {
    const int pieces = band_pieces(), index = piece % pieces;
    const Size blocks = quotient_up(sizes_.padded_output, backward_panel_units(sizes_));
    const Range rows = schedule_.rows_of(stretch.begin, stretch.end);
    const Size inputs = call_.inputs.x.indices == nullptr ? sizes_.input_size : 0;
    const int cuts = pieces_of(
        rows.size() * sizes_.gates() / pieces / schedule_.bands * (inputs + sizes_.output_size),
        tuning::packing_piece_products);
    for (int cut = index * cuts; cut < (index + 1) * cuts; ++cut) {
      if (cuts > 1) check_interrupts();
      sums_.sum(stretch.begin, stretch.end, piece / pieces,
                split(sizes_.panels(), pieces * cuts, cut, sizes_.panels_together()),
                split(blocks, pieces * cuts, cut), part);
    }
  }

  // Pieces of all rows of the stretch, or of those of a slice.
  void sum_inputs(Range stretch, int piece) {
    const Slices& slices = assignment_.slices;
    const Range rows = schedule_.rows_of(stretch.begin, stretch.end);
    const int pieces = slice_pieces();
    if (slices.count() == 1) {
      const Range some = split(rows.size(), pieces, piece);
      in_pieces(some, sizes_.gates() * sizes_.input_size, tuning::input_rows, [&](Range these) {
        const Size first = rows.begin + these.begin;
        sums_.input_gradient(first, first, {these.size()}, call_.dx);
      });
      return;
    }
    const Range slice = slices[piece / pieces];
    const Size batch = schedule_.batch_size;
    in_pieces(split(stretch.size(), pieces, piece % pieces),
              slice.size() * sizes_.gates() * sizes_.input_size, 1, [&](Range steps) {
                const Size first = rows.begin + steps.begin * batch;
                sums_.input_gradient(first + slice.begin, saved_row(first, slice.begin),
                                     {slice.size(), steps.size(), batch, slice.size()}, call_.dx);
              });
  }

  void finish() {
    const Size H = sizes_.hidden_size, O = sizes_.output_size, batch = schedule_.batch_size;
    copy_rows(state_.dh.data(), sizes_.padded_output, call_.dh0, O, batch, O);
    copy_rows(state_.dinner.data(), sizes_.padded, call_.dinner0, H, sizes_.inner_states() * batch,
              H);
    sums_.end();
  }

  const Backward<T>& call_;
  SavedValues<T>& saved_;
  GradientSums<T>& sums_;
  const CellSizes<T>& sizes_;
  const Schedule& schedule_;
  Team team_;
  Assignment<T> assignment_;
  Paces paces_;
  std::vector<Range> stretches_;                // from the last
  std::vector<std::atomic<int>> pieces_taken_;  // of the sums of each
  BackState<T> state_;
  StepBack<T> back_;
  Buffer<T> projected_;
};

}  // namespace

template <class T>
void walk_backward(const Backward<T>& call, SavedValues<T>& saved, GradientSums<T>& sums) {
  BackwardWalk<T>(call, saved, sums).run();
}

template void walk_backward(const Backward<float>&, SavedValues<float>&, GradientSums<float>&);
template void walk_backward(const Backward<double>&, SavedValues<double>&, GradientSums<double>&);

}  // namespace pyrnn
