// Back-propagation through time: step by step back through a stretch of time, then the large
// products of that stretch (weights' gradients, dx) while its gradients are in cache.
#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/plan.hpp"
#include "runtime/thread_pool.hpp"
#include "runtime/walk.hpp"

namespace pyrnn {
namespace {

// Rows whose gradients are summed at once.
constexpr Size stretch_rows = 512;

template <class T>
class BackwardWalk {
 public:
  BackwardWalk(const Backward<T>& call, Kept<T>& kept)
      : call_(call),
        kept_(kept),
        sizes_(call.inputs.weights->sizes),
        schedule_(*call.inputs.schedule),
        team_(num_threads()),
        shares_(sizes_, schedule_, team_.size()),
        barrier_(shares_.plan.threads),
        sums_(call.inputs, kept.gates.data(), call.gradients, shares_.plan.threads) {
    const Size batch = schedule_.batch_size, padded = sizes_.padded, H = sizes_.hidden_size;
    stretch_ = std::min(schedule_.steps(), std::max<Size>(1, stretch_rows / batch));
    dh_ = Buffer<T>::zeros(batch * padded);
    dinner_ = Buffer<T>::zeros(sizes_.inner_states() * batch * padded);
    copy_rows(call_.dh_last, H, dh_.data(), padded, batch, H);
    copy_rows(call_.dinner_last, H, dinner_.data(), padded, sizes_.inner_states() * batch, H);
    zeros_ = Buffer<T>::zeros(padded);
  }

  void run() {
    team_.run(shares_.plan.threads, [this](int thread) { work(thread); });
    finish();
  }

 private:
  void work(int thread) {
    for (Size end = schedule_.steps(); end > 0;) {
      const Size begin = std::max<Size>(0, end - stretch_);
      for (Size step = end - 1; step >= begin; --step) {
        pointwise(step, thread);
        if (shares_.plan.split == Split::units) barrier_.wait();
        carry_back(step, thread);
      }
      if (shares_.plan.split == Split::batch) barrier_.wait();
      sum_stretch(begin, end, thread);
      end = begin;
    }
  }

  // dz = (dh' + dy) ..., per unit; what goes past the product stays in dh
  void pointwise(Size step, int thread) {
    const Range rows = shares_.rows(step, thread);
    const Range panels = shares_.panels(thread);
    if (rows.size() == 0 || panels.size() == 0) return;
    const Size H = sizes_.hidden_size, padded = sizes_.padded;
    const Size row = schedule_.first_of(step) + rows.begin;
    StepBackward<T> q{};
    q.gates_row = q.dgates_row = sizes_.gates_row();
    q.dgates = kept_.gates.data() + row * q.gates_row;
    q.gates = q.dgates;
    q.h_prev = step == 0 ? call_.inputs.h0 + rows.begin * H
                         : call_.inputs.y +
                               (schedule_.first_of(step - 1) + rows.begin) * call_.inputs.y_row;
    q.h_prev_row = step == 0 ? H : call_.inputs.y_row;
    const Size rows_state = schedule_.rows * padded, batch_state = schedule_.batch_size * padded;
    q.inner_prev = step == 0
                       ? kept_.inner0.data() + rows.begin * padded
                       : kept_.inner.data() + (schedule_.first_of(step - 1) + rows.begin) * padded;
    q.inner_prev_state = step == 0 ? batch_state : rows_state;
    q.inner_next = kept_.inner.data() + row * padded;
    q.inner_next_state = rows_state;
    q.inner_row = padded;
    q.dy = call_.dy + row * call_.dy_row;
    q.dy_row = call_.dy_row;
    q.dh = dh_.data() + rows.begin * padded;
    q.dinner = dinner_.data() + rows.begin * padded;
    q.d_row = padded;
    q.dinner_state = batch_state;
    q.rows = rows.size();
    q.units = H;
    q.panel_begin = panels.begin;
    q.panel_end = panels.end;
    sizes_.cell->backward(q);
  }

  // dh = past the product + dz W_hh
  void carry_back(Size step, int thread) {
    const Range rows = shares_.rows(step, thread);
    const Range panels = shares_.columns(thread);
    if (rows.size() == 0 || panels.size() == 0) return;
    const CellShape& shape = sizes_.shape();
    const T* const dgates =
        kept_.gates.data() + (schedule_.first_of(step) + rows.begin) * sizes_.gates_row();
    Product<T> product =
        pyrnn::back_product(sizes_, dgates, shape.hidden_begin, sizes_.hidden_slots());
    product.b = call_.inputs.weights->hidden_back.data();
    product.vectors = sizes_.padded / sizes_.lanes();
    product.c = dh_.data() + rows.begin * sizes_.padded;
    product.c_row = sizes_.padded;
    product.init = shape.direct ? product.c : zeros_.data();
    product.init_row = shape.direct ? product.c_row : 0;
    product.columns = sizes_.padded;
    product.rows = rows.size();
    product.panel_begin = panels.begin;
    product.panel_end = panels.end;
    sizes_.kernels->product(product);
  }

  // The stretch's share of the gradients of weights and biases; its dx.
  void sum_stretch(Size begin, Size end, int thread) {
    const Range panels = shares_.plan.split == Split::units
                             ? shares_.panels(thread)
                             : part_of(sizes_.panels(), shares_.plan.threads, thread);
    sums_.sum(begin, end, panels, thread);
    if (call_.dx == nullptr) return;
    const Range rows = schedule_.rows_of(begin, end);
    const Range part = part_of(rows.size(), shares_.plan.threads, thread);
    sums_.input_gradient({rows.begin + part.begin, rows.begin + part.end}, call_.dx);
  }

  void finish() {
    const Size H = sizes_.hidden_size, batch = schedule_.batch_size;
    copy_rows(dh_.data(), sizes_.padded, call_.dh0, H, batch, H);
    copy_rows(dinner_.data(), sizes_.padded, call_.dinner0, H, sizes_.inner_states() * batch, H);
    sums_.finish();
  }

  static void copy_rows(const T* from, Size from_row, T* to, Size to_row, Size rows, Size columns) {
    for (Size row = 0; row < rows; ++row)
      std::memcpy(to + row * to_row, from + row * from_row,
                  static_cast<std::size_t>(columns) * sizeof(T));
  }

  const Backward<T>& call_;
  Kept<T>& kept_;
  const CellSizes<T>& sizes_;
  const Schedule& schedule_;
  Team team_;
  Shares<T> shares_;
  Barrier barrier_;
  Size stretch_ = 1;
  GradientSums<T> sums_;
  Buffer<T> dh_, dinner_, zeros_;
};

}  // namespace

template <class T>
void walk_backward(const Backward<T>& call, Kept<T>& kept) {
  BackwardWalk<T>(call, kept).run();
}

template void walk_backward(const Backward<float>&, Kept<float>&);
template void walk_backward(const Backward<double>&, Kept<double>&);

}  // namespace pyrnn
