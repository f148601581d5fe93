#include "runtime/gradient_sums.hpp"

#include <algorithm>

namespace pyrnn {

// Rows of steps in the order of the sum.
template <class T>
struct GradientSums<T>::Groups {
  std::vector<Size> first, rows;
  void add(Size row, Size count) {
    first.push_back(row);
    rows.push_back(count);
  }
  RowGroups all() const { return {first.data(), rows.data(), static_cast<Size>(first.size())}; }
};

template <class T>
GradientSums<T>::GradientSums(const CellSizes<T>& sizes, bool one_hot,
                              const Gradients<T>& gradients, Size unit_rows)
    : sizes_(sizes), gradients_(gradients), one_hot_(one_hot), unit_rows_(unit_rows) {
  bias_sums_ = Buffer<T>(sizes_.gates());
  zeros_ = Buffer<T>::zeros(panel_vectors * sizes_.lanes());
  units_ = Buffer<T>::zeros(unit_rows * sizes_.shape().unit_blocks() * sizes_.padded);
  if (one_hot_) one_hot_sums_ = Buffer<T>::zeros(sizes_.input_size * sizes_.gates_row());
}

template <class T>
void GradientSums<T>::begin(const LayerInputs<T>& inputs, const Kept<T>& kept,
                            const GradientRows<T>& rows, int threads) {
  inputs_ = inputs;
  kept_ = &kept;
  rows_ = rows;
  const Size input = one_hot_ ? 0 : sizes_.input_size;
  while (static_cast<int>(scratch_.size()) < threads)
    scratch_.emplace_back(sizes_.kernels->outer_scratch(input, sizes_.hidden_size));
}

template <class T>
void GradientSums<T>::sum(Size begin, Size end, Range panels, Range outputs, int thread) {
  const Schedule& schedule = *inputs_.schedule;
  Groups rows, previous;
  for (Size step = end - 1; step >= begin; --step) {
    rows.add(schedule.first_of(step), schedule.count_of(step));
    previous.add(step > 0 ? schedule.first_of(step - 1) : 0, schedule.count_of(step));
  }
  const bool accumulate = !fresh_ || end < schedule.steps();
  if (panels.size() > 0) {
    sum_bias(rows, panels, accumulate);
    if (one_hot_) sum_one_hot(rows, panels);
    OuterProduct<T> q = outer_of(rows, panels, accumulate, thread);
    if (!one_hot_) q.sides[q.side_count++] = input_side(rows);
    if (sizes_.shape().has_hidden()) q.sides[q.side_count++] = hidden_side(previous, begin == 0);
    if (q.side_count > 0) sizes_.kernels->outer_product(q);
  }
  if (sizes_.two_products()) sum_second(rows, panels, outputs, accumulate, thread);
}

template <class T>
Range GradientSums<T>::columns_of(Range panels) const {
  return {panels.begin * sizes_.panel_stride(),
          std::min(panels.end * sizes_.panel_stride(), sizes_.gates())};
}

template <class T>
void GradientSums<T>::sum_bias(const Groups& rows, Range panels, bool accumulate) {
  if (gradients_.bias_ih == nullptr) return;
  const Range columns = columns_of(panels);
  sizes_.kernels->column_sums(rows_.dgates, sizes_.gates_row(), rows.all(), columns.begin,
                              columns.end, accumulate, bias_sums_.data());
}

template <class T>
void GradientSums<T>::sum_one_hot(const Groups& rows, Range panels) {
  const Range columns = columns_of(panels);
  sizes_.kernels->scatter_sums(rows_.dgates, sizes_.gates_row(), rows.all(), inputs_.x.indices,
                               columns.begin, columns.end, one_hot_sums_.data(),
                               sizes_.gates_row());
}

template <class T>
OuterProduct<T> GradientSums<T>::outer_of(const Groups& rows, Range panels, bool accumulate,
                                          int thread) {
  const CellShape& shape = sizes_.shape();
  OuterProduct<T> q{};
  q.a = rows_.dgates;
  q.a_row = sizes_.gates_row();
  q.a_groups = rows.all();
  q.slots = shape.slots;
  q.unit_vectors = shape.unit_vectors;
  std::copy(shape.gate_of_slot, shape.gate_of_slot + max_slots, q.gate_of_slot);
  q.units = sizes_.hidden_size;
  q.panel_begin = panels.begin;
  q.panel_end = panels.end;
  q.accumulate = accumulate;
  q.scratch = scratch_[static_cast<std::size_t>(thread)].data();
  return q;
}

template <class T>
OuterSide<T> GradientSums<T>::input_side(const Groups& rows) const {
  const CellShape& shape = sizes_.shape();
  OuterSide<T> side{};
  side.slot_begin = shape.input_begin;
  side.slot_end = shape.input_end;
  side.b = inputs_.x.dense;
  side.b_row = inputs_.x.row;
  side.b_groups = rows.all();
  side.columns = side.c_row = sizes_.input_size;
  side.c = gradients_.weight_ih;
  return side;
}

// The first step's share comes last, and its rows of B are those of h0.
template <class T>
OuterSide<T> GradientSums<T>::hidden_side(const Groups& previous, bool first_step) const {
  const CellShape& shape = sizes_.shape();
  const bool masked = kept_->hidden.size() > 0;
  OuterSide<T> side{};
  side.slot_begin = shape.hidden_begin;
  side.slot_end = shape.hidden_end;
  side.b = masked ? kept_->hidden.data() : inputs_.y;
  side.b_row = masked ? sizes_.output_size : inputs_.y_row;
  side.b_groups = previous.all();
  if (first_step) side.b_last = masked ? kept_->hidden0.data() : inputs_.h0;
  side.b_last_row = sizes_.output_size;
  side.columns = side.c_row = sizes_.output_size;
  side.c = gradients_.weight_hh;
  return side;
}

// The weights that u was multiplied with: rows of weight_hh, or the projection.
template <class T>
void GradientSums<T>::sum_second(const Groups& rows, Range panels, Range outputs, bool accumulate,
                                 int thread) {
  const CellShape& shape = sizes_.shape();
  OuterProduct<T> q = outer_of(rows, panels, accumulate, thread);
  q.side_count = 1;
  OuterSide<T>& side = q.sides[0];
  side.slot_begin = shape.second_begin;
  side.slot_end = shape.second_end;
  side.c = gradients_.weight_hh;
  if (sizes_.projected) {
    q.a = rows_.projected;
    q.a_row = sizes_.padded_output;
    q.slots = side.slot_end = 1;
    side.slot_begin = q.gate_of_slot[0] = 0;
    q.unit_vectors = panel_vectors;
    q.units = sizes_.output_size;
    q.panel_begin = outputs.begin;
    q.panel_end = outputs.end;
    side.c = gradients_.weight_hr;
  }
  if (q.panel_begin == q.panel_end) return;
  side.columns = side.c_row = sizes_.hidden_size;
  side.b_groups = rows.all();
  side.b = kept_->u.data();
  side.b_row = sizes_.padded;
  sizes_.kernels->outer_product(q);
}

template <class T>
void GradientSums<T>::input_gradient(Range rows, T* dx) const {
  if (rows.size() == 0) return;
  const Size lanes = sizes_.lanes();
  Product<T> product = back_product(sizes_, rows_.dgates + rows.begin * sizes_.gates_row(),
                                    sizes_.shape().input_begin, sizes_.input_slots());
  product.b = inputs_.weights->input_back.data();
  product.vectors = (sizes_.input_size + lanes - 1) / lanes;
  product.init = zeros_.data();
  product.init_panel = 0;
  product.c = dx + rows.begin * sizes_.input_size;
  product.c_row = product.columns = sizes_.input_size;
  product.rows = rows.size();
  product.panel_end = (product.vectors + panel_vectors - 1) / panel_vectors;
  sizes_.kernels->product(product);
}

template <class T>
void GradientSums<T>::finish() {
  const CellShape& shape = sizes_.shape();
  const Size H = sizes_.hidden_size;
  for (Size unit = 0; unit < H; ++unit) {
    for (int slot = 0; slot < shape.slots; ++slot) {
      const Size gate_unit = shape.gate_of_slot[slot] * H + unit;
      const Size at = sizes_.gate_offset(slot, unit);
      if (gradients_.bias_ih != nullptr && shape.of_input(slot))
        gradients_.bias_ih[gate_unit] = bias_sums_.data()[at];
      if (gradients_.bias_hh != nullptr && shape.of_hidden(slot))
        gradients_.bias_hh[gate_unit] = bias_sums_.data()[at];
    }
  }
  if (one_hot_) finish_one_hot();
  finish_units();
}

// Rows of pre-activations, one for each index, become columns of the weights.
template <class T>
void GradientSums<T>::finish_one_hot() {
  const CellShape& shape = sizes_.shape();
  const Size H = sizes_.hidden_size, I = sizes_.input_size;
  for (Size unit = 0; unit < H; unit += sizes_.run()) {
    for (int slot = shape.input_begin; slot < shape.input_end; ++slot)
      sizes_.kernels->transpose(one_hot_sums_.data() + sizes_.gate_offset(slot, unit),
                                sizes_.gates_row(), I, std::min(sizes_.run(), H - unit),
                                gradients_.weight_ih + (shape.gate_of_slot[slot] * H + unit) * I,
                                I);
  }
}

// Rows of sequences add up in their order.
template <class T>
void GradientSums<T>::finish_units() {
  const Size padded = sizes_.padded, H = sizes_.hidden_size;
  const Size row = sizes_.shape().unit_blocks() * padded;
  Size first = 0;
  for (int i = 0; i < max_unit_parameters; ++i) {
    for (int block = 0; block < sizes_.shape().unit_parameters[i].blocks; ++block, ++first) {
      if (gradients_.unit[i] == nullptr) continue;
      T* const to = gradients_.unit[i] + block * H;
      std::fill(to, to + H, T(0));
      for (Size n = 0; n < unit_rows_; ++n) {
        const T* const from = units_.data() + n * row + first * padded;
        for (Size unit = 0; unit < H; ++unit) to[unit] += from[unit];
      }
    }
  }
}

template class GradientSums<float>;
template class GradientSums<double>;

}  // namespace pyrnn
