// Back-propagation through time: step by step back through a stretch of time, then the large
// products of that stretch (weights' gradients, dx) while its gradients are in cache.
#include <algorithm>
#include <cstring>

#include "runtime/plan.hpp"
#include "runtime/step_back.hpp"
#include "runtime/thread_pool.hpp"
#include "runtime/walk.hpp"

namespace pyrnn {
namespace {

// Rows whose gradients are summed at once.
constexpr Size stretch_rows = 1024;

template <class T>
class BackwardWalk {
 public:
  BackwardWalk(const Backward<T>& call, Kept<T>& kept, GradientSums<T>& sums)
      : call_(call),
        kept_(kept),
        sums_(sums),
        sizes_(call.inputs.weights->sizes),
        schedule_(*call.inputs.schedule),
        team_(num_threads()),
        shares_(sizes_, schedule_, team_.size()),
        barrier_(shares_.plan.threads),
        state_(sizes_, schedule_.batch_size, call.noise, shares_.plan.threads),
        back_(call.inputs, kept, call.noise, sums, state_) {
    const Size batch = schedule_.batch_size, padded = sizes_.padded;
    const Size H = sizes_.hidden_size, O = sizes_.output_size;
    if (sizes_.projected) projected_ = Buffer<T>(schedule_.rows * sizes_.padded_output);
    copy_rows(call_.dh_last, O, state_.dh.data(), sizes_.padded_output, batch, O);
    copy_rows(call_.dinner_last, H, state_.dinner.data(), padded, sizes_.inner_states() * batch, H);
    sums_.begin(call.inputs, kept, {kept.gates.data(), projected_.data()}, shares_.plan.threads);
  }

  void run() {
    team_.run(shares_.plan.threads, [this](int thread) { work(thread); });
    finish();
  }

 private:
  void work(int thread) {
    const bool waits = shares_.plan.split == Split::batch || !sizes_.shape().has_hidden();
    for (Size end = schedule_.steps(); end > 0;) {
      const Size begin = schedule_.stretch_to(end, stretch_rows);
      const Range mine = shares_.rows(begin, end, thread);
      for (Size step = end - 1; step >= begin; --step)
        step_back(step, shares_.rows_at(step, mine), thread);
      if (waits) barrier_.wait();
      sum_stretch(begin, end, thread);
      end = begin;
    }
  }

  void step_back(Size step, Range rows, int thread) {
    if (rows.size() == 0) return;
    const Range panels = shares_.panels(thread), outputs = shares_.outputs(thread);
    const BackRows<T> at = rows_of(step, rows);
    if (back_.enters()) back_.enter(at, shares_.output_units(thread), shares_.units(thread));
    if (sizes_.projected) {
      wait_for_units();
      back_.project(at, shares_.unit_columns(thread));
    }
    back_.pointwise(at, panels, thread);
    if (sizes_.shape().has_second()) {
      wait_for_units();
      back_.second_product(at, shares_.unit_columns(thread));
      back_.pointwise_first(at, panels, thread);
    }
    if (sizes_.shape().has_hidden()) wait_for_units();
    back_.carry(at, outputs);
    if (back_.leaves()) back_.leave(at, shares_.output_units(thread), shares_.units(thread));
  }

  void wait_for_units() {
    if (shares_.plan.split == Split::units) barrier_.wait();
  }

  BackRows<T> rows_of(Size step, Range rows) {
    BackRows<T> at{};
    at.row = schedule_.first_of(step) + rows.begin;
    at.previous = step == 0 ? -1 : schedule_.first_of(step - 1) + rows.begin;
    at.sequence = at.state = rows.begin;
    at.count = rows.size();
    at.dy = call_.dy + at.row * call_.dy_row;
    at.dy_row = call_.dy_row;
    at.dgates = kept_.gates.data() + at.row * sizes_.gates_row();
    at.projected = projected_.data() + at.row * sizes_.padded_output;
    return at;
  }

  // The stretch's share of the gradients of weights and biases; its dx.
  void sum_stretch(Size begin, Size end, int thread) {
    const Range panels = shares_.plan.split == Split::units
                             ? shares_.panels(thread)
                             : part_of(sizes_.panels(), shares_.plan.threads, thread);
    const Size blocks = (sizes_.padded_output + unit_block(sizes_) - 1) / unit_block(sizes_);
    const Range outputs = part_of(blocks, shares_.plan.threads, thread);
    sums_.sum(begin, end, panels, outputs, thread);
    if (call_.dx == nullptr) return;
    const Range rows = schedule_.rows_of(begin, end);
    const Range part = part_of(rows.size(), shares_.plan.threads, thread);
    sums_.input_gradient({rows.begin + part.begin, rows.begin + part.end}, call_.dx);
  }

  void finish() {
    const Size H = sizes_.hidden_size, O = sizes_.output_size, batch = schedule_.batch_size;
    copy_rows(state_.dh.data(), sizes_.padded_output, call_.dh0, O, batch, O);
    copy_rows(state_.dinner.data(), sizes_.padded, call_.dinner0, H, sizes_.inner_states() * batch,
              H);
    sums_.end();
  }

  static void copy_rows(const T* from, Size from_row, T* to, Size to_row, Size rows, Size columns) {
    for (Size row = 0; row < rows; ++row)
      std::memcpy(to + row * to_row, from + row * from_row,
                  static_cast<std::size_t>(columns) * sizeof(T));
  }

  const Backward<T>& call_;
  Kept<T>& kept_;
  GradientSums<T>& sums_;
  const CellSizes<T>& sizes_;
  const Schedule& schedule_;
  Team team_;
  Shares<T> shares_;
  Barrier barrier_;
  BackState<T> state_;
  StepBack<T> back_;
  Buffer<T> projected_;
};

}  // namespace

template <class T>
void walk_backward(const Backward<T>& call, Kept<T>& kept, GradientSums<T>& sums) {
  BackwardWalk<T>(call, kept, sums).run();
}

template void walk_backward(const Backward<float>&, Kept<float>&, GradientSums<float>&);
template void walk_backward(const Backward<double>&, Kept<double>&, GradientSums<double>&);

}  // namespace pyrnn
