// How a call is spread over threads: a small model of what a time step costs.
#pragma once

#include <algorithm>

#include "runtime/layout/cell_weights.hpp"
#include "runtime/layout/schedule.hpp"
#include "runtime/layout/slices.hpp"
#include "runtime/threads/range.hpp"
#include "tuning.hpp"

namespace pyrnn {

// `sums` is for the backward pass only: one thread goes through the steps, others sum the gradients
// of the steps that it has done.
enum class Split { none, batch, units, sums };

struct Plan {
  Split split = Split::none;
  int threads = 1;
  double cycles = 0;  // of all steps
};

// Units are shared out in blocks of the columns that one backward panel spans, so that a thread
// owns the same units in both passes.
template <class T>
Size backward_panel_units(const CellSizes<T>& sizes) {
  return panel_vectors * sizes.lanes();
}

// The panels of units that a thread of several owns.
template <class T>
Range panels_of(const CellSizes<T>& sizes, int threads, int thread) {
  const Range units = split(sizes.padded, threads, thread, backward_panel_units(sizes));
  return {units.begin / sizes.panel_units(), quotient_up(units.end, sizes.panel_units())};
}

// The panels of a plain product's padded columns that a thread of several owns.
template <class T>
Range columns_of(const CellSizes<T>& sizes, Size padded, int threads, int thread) {
  const Size block = backward_panel_units(sizes);
  const Range numbers = split(padded, threads, thread, block);
  return {numbers.begin / block, quotient_up(numbers.end, block)};
}

// Cycles that one step costs a thread with `rows` rows and `units` units: multiply-adds at two
// vectors a cycle (a few rows do not fill the pipes), or reading the weights from the nearest cache
// that holds them, plus the pointwise arithmetic.
template <class T>
double step_cycles(const CellSizes<T>& sizes, Size rows, Size units) {
  const Size second =
      sizes.projected ? sizes.output_size : sizes.second_slots() * sizes.hidden_size;
  const double products =
      static_cast<double>(units * (sizes.hidden_slots() * sizes.output_size + second)) /
      static_cast<double>(sizes.lanes());
  const double filled = static_cast<double>(std::max<Size>(rows, 2));
  const double bytes = products * static_cast<double>(sizes.lanes() * sizes.weight_bytes());
  const double bytes_a_cycle = bytes < tuning::near_weights  ? tuning::near_bytes_a_cycle
                               : bytes < tuning::far_weights ? tuning::bytes_a_cycle
                                                             : tuning::far_bytes_a_cycle;
  const double pointwise = tuning::pointwise_cycles *
                           static_cast<double>(rows * units * sizes.shape().slots) /
                           static_cast<double>(sizes.lanes());
  return std::max(products * filled / 2, bytes / bytes_a_cycle) + pointwise;
}

template <class T>
Plan make_plan(const CellSizes<T>& sizes, Size batch_size, Size steps, int available) {
  const double walk = static_cast<double>(steps);
  Plan best{Split::none, 1, step_cycles(sizes, batch_size, sizes.padded) * walk};
  for (int threads = 2; threads <= available; ++threads) {
    const double team = tuning::team_cost(threads);
    if (team >= best.cycles * tuning::plan_margin) break;  // nor do more of them pay
    if (batch_size >= threads) {
      const Size rows = quotient_up(batch_size, threads);
      const double cycles = step_cycles(sizes, rows, sizes.padded) * walk + team;
      if (cycles < best.cycles * tuning::plan_margin) best = {Split::batch, threads, cycles};
    }
    const Size block = backward_panel_units(sizes);
    const Size blocks = quotient_up(sizes.padded, block);
    if (blocks >= threads && !sizes.shape().whole_rows) {
      const Size units = std::min(sizes.padded, quotient_up(blocks, threads) * block);
      const double cycles =
          (step_cycles(sizes, batch_size, units) + tuning::phase_cost(threads)) * walk + team;
      if (cycles < best.cycles * tuning::plan_margin) best = {Split::units, threads, cycles};
    }
  }
  return best;
}

template <class T>
Plan make_plan_back(const CellSizes<T>& sizes, const Schedule& schedule, int available) {
  const Plan plan = make_plan(sizes, schedule.batch_size, schedule.steps(), available);
  if (plan.split != Split::none || available == 1) return plan;
  const Size products = sizes.gates() * (2 * sizes.input_size + sizes.output_size);
  const double cycles = static_cast<double>(schedule.rows * products / sizes.lanes()) / 2;
  const bool several = schedule.rows >= tuning::stretches_behind / 2 * tuning::least_rows_behind;
  return several && cycles > 2 * tuning::team_cost(2) ? Plan{Split::sums, 2, plan.cycles} : plan;
}

// Whether the two directions of a layer are faster at once, on a thread each, than one after the
// other on all. Not where a split of units brings the weights into a nearer cache.
template <class T>
bool directions_at_once(const CellSizes<T>& sizes, Size batch_size, Size steps, int available) {
  if (available < 2) return false;
  const Plan plan = make_plan(sizes, batch_size, steps, available);
  const Size bytes = sizes.gates() * sizes.output_size * static_cast<Size>(sizeof(T));
  if (plan.split == Split::units && bytes > tuning::l2_weights) return false;
  const double alone = make_plan(sizes, batch_size, steps, 1).cycles;
  // Either way work is handed over, if by several: once, or in each direction.
  return alone + tuning::handing_cost <
         2 * (plan.cycles + (plan.threads > 1 ? tuning::handing_cost : 0));
}

// Whether it pays to hand half of some rows, with so many steps to go, to a thread that waits: not
// if each half takes almost as long as all, for which the weights must be read.
template <class T>
bool worth_dividing(const CellSizes<T>& sizes, Size rows, Size steps) {
  const double all = step_cycles(sizes, rows, sizes.padded);
  const double saved = all - step_cycles(sizes, rows - rows / 2, sizes.padded);
  return saved > all * tuning::least_saving &&
         saved * static_cast<double>(steps) > tuning::handing_cost;
}

// What each thread of a plan owns, in both passes.
template <class T>
class Assignment {
 public:
  const Plan plan;
  const Slices slices;  // of the values that are written on the way

  // The forward pass; if it keeps values for backward, in slices that can be summed apart.
  Assignment(const CellSizes<T>& sizes, const Schedule& schedule, int available, bool keeps)
      : plan(make_plan(sizes, schedule.batch_size, schedule.steps(), available)),
        slices(in_slices(plan, schedule, keeps)),
        sizes_(sizes),
        schedule_(schedule) {
    own();
  }
  // The backward pass, over values that are in slices already.
  Assignment(const CellSizes<T>& sizes, const Schedule& schedule, int available, Slices given)
      : plan(make_plan_back(sizes, schedule, available)),
        slices(std::move(given)),
        sizes_(sizes),
        schedule_(schedule) {
    own();
  }

  // Whether each thread computes its own slice.
  bool by_slice() const { return plan.split == Split::batch && plan.threads == slices.count(); }

  // The rows that a thread computes in a stretch of time [begin, end).
  Range rows(Size begin, Size end, int thread) const {
    if (plan.split == Split::sums && thread > 0) return {0, 0};
    if (plan.split != Split::batch) return {0, schedule_.count_of(begin)};
    return by_slice() ? slices[thread] : schedule_.rows_of_thread(begin, end, plan.threads, thread);
  }
  // Those that are left of them at a step, counted from its first.
  Range rows_at(Size step, Range rows) const {
    const Size count = schedule_.count_of(step);
    return {std::min(rows.begin, count), std::min(rows.end, count)};
  }

  // Panels of units.
  Range panels(int thread) const { return owned_by(thread).panels; }

  // The units of these panels.
  Range units(int thread) const {
    return within(panels(thread), sizes_.panel_units(), sizes_.hidden_size);
  }

  // The panels of a plain product's columns that hold these units, or numbers of h: the same but
  // for a projected h.
  Range unit_columns(int thread) const { return owned_by(thread).unit_columns; }
  Range outputs(int thread) const { return owned_by(thread).outputs; }

  // The numbers of h of these panels.
  Range output_units(int thread) const {
    return within(outputs(thread), backward_panel_units(sizes_), sizes_.output_size);
  }

 private:
  static Slices in_slices(const Plan& plan, const Schedule& schedule, bool keeps) {
    const bool summed_apart = schedule.bands % plan.threads == 0;
    if (plan.split != Split::batch || !schedule.uniform() || (keeps && !summed_apart))
      return Slices(schedule.batch_size);
    std::vector<Size> bounds{0};
    for (int thread = 0; thread < plan.threads; ++thread)
      bounds.push_back(
          summed_apart ? schedule.band((thread + 1) * schedule.bands / plan.threads - 1).end
                       : schedule.rows_of_thread(0, schedule.steps(), plan.threads, thread).end);
    return Slices(std::move(bounds));
  }

  // Each step asks for these; finding them takes divisions, which small networks' steps would
  // notice.
  struct Own {
    Range panels, unit_columns, outputs;
  };
  const Own& owned_by(int thread) const { return own_[static_cast<std::size_t>(thread)]; }
  void own() {
    const int parts = plan.split == Split::units ? plan.threads : 1;
    for (int thread = 0; thread < plan.threads; ++thread) {
      const int part = parts == 1 ? 0 : thread;
      own_.push_back({panels_of(sizes_, parts, part),
                      columns_of(sizes_, sizes_.padded, parts, part),
                      columns_of(sizes_, sizes_.padded_output, parts, part)});
    }
  }

  const CellSizes<T>& sizes_;
  const Schedule& schedule_;
  std::vector<Own> own_;
};

}  // namespace pyrnn
