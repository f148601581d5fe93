#include "runtime/walk/checkpoints.hpp"

#include <algorithm>

namespace pyrnn {
namespace {

// States of the first `count` sequences of a batch: (states, from_batch, H) to (states, to_batch,
// H)
template <class T>
void copy_states(const T* from, Size from_batch, T* to, Size to_batch, Size count, Size states,
                 Size H) {
  for (Size s = 0; s < states; ++s)
    std::copy(from + s * from_batch * H, from + (s * from_batch + count) * H,
              to + s * to_batch * H);
}

// One segment of a sequence, and what it is fed.
template <class T>
struct Segment {
  Schedule schedule;
  Size row;     // its first
  const T* h0;  // of its first step

  Segment(const Schedule& whole, Size begin, Size end, const T* h0_of_all, const T* y, Size y_row)
      : schedule(whole.segment(begin, end)),
        row(whole.rows_of(begin, end).begin),
        h0(begin == 0 ? h0_of_all : y + whole.first_of(begin - 1) * y_row) {}
};

}  // namespace

template <class T>
void walk_forward(const Forward<T>& call, Checkpoints<T>& checkpoints) {
  const Schedule& whole = *call.schedule;
  const CellSizes<T>& sizes = call.weights->sizes;
  const Size states = sizes.inner_states(), H = sizes.hidden_size, batch = whole.batch_size;
  checkpoints.inner.clear();
  checkpoints.inner.emplace_back(states * batch * H);
  std::copy(call.inner0, call.inner0 + states * batch * H, checkpoints.inner.back().data());
  for (Size begin = 0; begin < whole.steps(); begin += checkpoints.steps) {
    const Size end = std::min(begin + checkpoints.steps, whole.steps());
    const Segment<T> segment(whole, begin, end, call.h0, call.y, call.y_row);
    const Size count = segment.schedule.batch_size;
    Buffer<T> last(states * count * H);
    Forward<T> forward = call;
    forward.schedule = &segment.schedule;
    forward.x = call.x.from(segment.row);
    forward.h0 = segment.h0;
    forward.inner0 = checkpoints.inner.back().data();
    forward.y = call.y + segment.row * call.y_row;
    forward.inner_last = last.data();
    forward.noise = call.noise.from(segment.row);
    walk_forward(forward, static_cast<SavedValues<T>*>(nullptr));
    // Sequences that end here have their last states; others will have them written over.
    copy_states(last.data(), count, call.inner_last, batch, count, states, H);
    if (end == whole.steps()) break;
    const Size next = whole.count_of(end);
    checkpoints.inner.emplace_back(states * next * H);
    copy_states(last.data(), count, checkpoints.inner.back().data(), next, next, states, H);
  }
}

template <class T>
void walk_backward(const Backward<T>& call, const Checkpoints<T>& checkpoints,
                   GradientSums<T>& sums) {
  const LayerInputs<T>& inputs = call.inputs;
  const Schedule& whole = *inputs.schedule;
  const CellSizes<T>& sizes = inputs.weights->sizes;
  const Size states = sizes.inner_states(), H = sizes.hidden_size, O = sizes.output_size;
  const Size batch = whole.batch_size;
  // Gradients of the states between segments; sequences that a later segment does not have wait
  // here.
  Buffer<T> dh(batch * O), dinner(states * batch * H);
  std::copy(call.dh_last, call.dh_last + batch * O, dh.data());
  std::copy(call.dinner_last, call.dinner_last + states * batch * H, dinner.data());
  for (std::size_t index = checkpoints.inner.size(); index-- > 0;) {
    const Size begin = static_cast<Size>(index) * checkpoints.steps;
    const Size end = std::min(begin + checkpoints.steps, whole.steps());
    const Segment<T> segment(whole, begin, end, inputs.h0, inputs.y, inputs.y_row);
    const Size count = segment.schedule.batch_size;
    Buffer<T> segment_dinner(states * count * H), unused(states * count * H);
    copy_states(dinner.data(), batch, segment_dinner.data(), count, count, states, H);
    const InputRows<T> x = inputs.x.from(segment.row);
    Buffer<T> y(segment.schedule.rows * O);
    const Noise<T> noise = call.noise.from(segment.row);
    Forward<T> again{};
    again.weights = inputs.weights;
    again.schedule = &segment.schedule;
    again.x = x;
    again.h0 = segment.h0;
    again.inner0 = checkpoints.inner[index].data();
    again.y = y.data();
    again.y_row = O;
    again.inner_last = unused.data();
    again.noise = noise;
    SavedValues<T> saved;
    walk_forward(again, &saved);
    Backward<T> back = call;
    back.inputs.schedule = &segment.schedule;
    back.inputs.first_step = begin;
    back.inputs.x = x;
    back.inputs.h0 = segment.h0;
    back.inputs.y = y.data();
    back.inputs.y_row = O;
    back.dy = call.dy + segment.row * call.dy_row;
    back.dh_last = back.dh0 = dh.data();
    back.dinner_last = back.dinner0 = segment_dinner.data();
    back.dx = call.dx == nullptr ? nullptr : call.dx + segment.row * sizes.input_size;
    back.noise = noise;
    walk_backward(back, saved, sums);
    copy_states(segment_dinner.data(), count, dinner.data(), batch, count, states, H);
  }
  std::copy(dh.data(), dh.data() + batch * O, call.dh0);
  std::copy(dinner.data(), dinner.data() + states * batch * H, call.dinner0);
}

template void walk_forward(const Forward<float>&, Checkpoints<float>&);
template void walk_forward(const Forward<double>&, Checkpoints<double>&);
template void walk_backward(const Backward<float>&, const Checkpoints<float>&,
                            GradientSums<float>&);
template void walk_backward(const Backward<double>&, const Checkpoints<double>&,
                            GradientSums<double>&);

}  // namespace pyrnn
