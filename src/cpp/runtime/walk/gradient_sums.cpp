#include "runtime/walk/gradient_sums.hpp"

#include <algorithm>

#include "runtime/threads/parallel.hpp"

namespace pyrnn {

namespace {

// At least this many elements before a second thread is worth its start-up cost.
constexpr Size add_grain = 16 * 1024;

}  // namespace

// A band's rows in the order of the sum: how many of each step, and their first among those that
// are kept, in the packed batch, and a step before in each.
template <class T>
struct GradientSums<T>::Rows {
  std::vector<Size> counts, kept, packed, kept_before, packed_before;

  explicit Rows(Size steps) {
    for (std::vector<Size>* all : {&counts, &kept, &packed, &kept_before, &packed_before})
      all->reserve(static_cast<std::size_t>(steps));
  }
  RowGroups from(const std::vector<Size>& first) const {
    return {first.data(), counts.data(), static_cast<Size>(counts.size())};
  }
};

template <class T>
GradientSums<T>::GradientSums(const CellWeights<T>& weights, bool one_hot,
                              const Gradients<T>& gradients, Size unit_rows, int bands)
    : weights_(weights),
      sizes_(weights.sizes),
      gradients_(gradients),
      one_hot_(one_hot),
      unit_rows_(unit_rows) {
  zeros_ = Buffer<T>::zeros(panel_vectors * sizes_.lanes());
  units_ = Buffer<T>::zeros(unit_rows * sizes_.shape().unit_blocks() * sizes_.padded);
  for (int band = 0; band < bands; ++band) bands_.push_back(new_band(band));
}

template <class T>
typename GradientSums<T>::Band GradientSums<T>::new_band(int index) const {
  Band band{gradients_, {}, {}, {}, {}, {}};
  band.bias = Buffer<T>(sizes_.gates());
  if (one_hot_) band.one_hot = Buffer<T>::zeros(weights_.input_count() * sizes_.gates_row());
  if (index == 0) return band;
  const auto replace = [](T*& to, Buffer<T>& buffer, Size numbers) {
    if (to == nullptr) return;
    buffer = Buffer<T>(numbers);
    to = buffer.data();
  };
  const Size rows = sizes_.shape().gates * sizes_.hidden_size;
  if (!one_hot_) replace(band.to.weight_ih, band.weight_ih, rows * sizes_.input_size);
  replace(band.to.weight_hh, band.weight_hh, rows * sizes_.output_size);
  replace(band.to.weight_hr, band.weight_hr, sizes_.output_size * sizes_.hidden_size);
  return band;
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

// A band lies in one slice of what is kept.
template <class T>
typename GradientSums<T>::Rows GradientSums<T>::rows_of(Size begin, Size end, int band) const {
  const Schedule& schedule = *inputs_.schedule;
  const Range all = split(schedule.batch_size, static_cast<int>(bands_.size()), band);
  Rows rows(end - begin);
  for (Size step = end - 1; step >= begin; --step) {
    const Size first = schedule.first_of(step);
    const Size count = std::min(all.end, schedule.count_of(step)) - all.begin;
    const auto kept = [&](Size of) { return kept_->slices.row(of, all.begin, schedule.steps()); };
    rows.counts.push_back(count);
    rows.kept.push_back(kept(first));
    rows.packed.push_back(first + all.begin);
    const Size before = step > 0 ? schedule.first_of(step - 1) : 0;
    rows.kept_before.push_back(step > 0 ? kept(before) : all.begin);
    rows.packed_before.push_back(before + all.begin);
  }
  return rows;
}

template <class T>
void GradientSums<T>::sum(Size begin, Size end, int band_index, Range panels, Range outputs,
                          int thread) {
  Band& band = bands_[static_cast<std::size_t>(band_index)];
  const Rows rows = rows_of(begin, end, band_index);
  const bool accumulate = !fresh_ || end < inputs_.schedule->steps();
  if (panels.size() > 0) {
    sum_bias(band, rows, panels, accumulate);
    if (one_hot_) sum_one_hot(band, rows, panels);
    OuterProduct<T> q = outer_of(rows, panels, accumulate, thread);
    if (!one_hot_) q.sides[q.side_count++] = input_side(band, rows);
    if (sizes_.shape().has_hidden()) q.sides[q.side_count++] = hidden_side(band, rows, begin == 0);
    if (q.side_count > 0) sizes_.kernels->outer_product(q);
  }
  if (sizes_.two_products()) sum_second(band, rows, panels, outputs, accumulate, thread);
}

template <class T>
Range GradientSums<T>::columns_of(Range panels) const {
  const auto column = [&](Size panel) {
    return quotient_up(panel, sizes_.panels_together()) * sizes_.panel_stride();
  };
  return {column(panels.begin), std::min(column(panels.end), sizes_.gates())};
}

template <class T>
void GradientSums<T>::sum_bias(Band& band, const Rows& rows, Range panels, bool accumulate) {
  if (gradients_.bias_ih == nullptr) return;
  const Range columns = columns_of(panels);
  sizes_.kernels->column_sums(rows_.dgates, sizes_.gates_row(), rows.from(rows.kept), columns.begin,
                              columns.end, accumulate, band.bias.data());
}

template <class T>
void GradientSums<T>::sum_one_hot(Band& band, const Rows& rows, Range panels) {
  const Range columns = columns_of(panels);
  sizes_.kernels->scatter_sums(rows_.dgates, sizes_.gates_row(), rows.from(rows.kept),
                               inputs_.x.indices, rows.from(rows.packed), columns.begin,
                               columns.end, band.one_hot.data(), sizes_.gates_row());
}

template <class T>
OuterProduct<T> GradientSums<T>::outer_of(const Rows& rows, Range panels, bool accumulate,
                                          int thread) {
  const CellShape& shape = sizes_.shape();
  OuterProduct<T> q{};
  q.a = rows_.dgates;
  q.a_row = sizes_.gates_row();
  q.a_groups = rows.from(rows.kept);
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
OuterSide<T> GradientSums<T>::input_side(const Band& band, const Rows& rows) const {
  const CellShape& shape = sizes_.shape();
  OuterSide<T> side{};
  side.slot_begin = shape.input_begin;
  side.slot_end = shape.input_end;
  side.b = inputs_.x.dense;
  side.b_row = inputs_.x.row;
  side.b_groups = rows.from(rows.packed);
  side.columns = side.c_row = sizes_.input_size;
  side.c = band.to.weight_ih;
  return side;
}

// The first step's share comes last, and its rows of B are those of h0.
template <class T>
OuterSide<T> GradientSums<T>::hidden_side(const Band& band, const Rows& rows,
                                          bool first_step) const {
  const CellShape& shape = sizes_.shape();
  const bool masked = kept_->hidden.size() > 0;
  OuterSide<T> side{};
  side.slot_begin = shape.hidden_begin;
  side.slot_end = shape.hidden_end;
  side.b = masked ? kept_->hidden.data() : inputs_.y;
  side.b_row = masked ? sizes_.output_size : inputs_.y_row;
  side.b_groups = rows.from(masked ? rows.kept_before : rows.packed_before);
  if (first_step) side.b_last = masked ? kept_->hidden0.data() : inputs_.h0;
  side.b_last_row = sizes_.output_size;
  side.columns = side.c_row = sizes_.output_size;
  side.c = band.to.weight_hh;
  return side;
}

// The weights that u was multiplied with: rows of weight_hh, or the projection.
template <class T>
void GradientSums<T>::sum_second(const Band& band, const Rows& rows, Range panels, Range outputs,
                                 bool accumulate, int thread) {
  const CellShape& shape = sizes_.shape();
  OuterProduct<T> q = outer_of(rows, panels, accumulate, thread);
  q.side_count = 1;
  OuterSide<T>& side = q.sides[0];
  side.slot_begin = shape.second_begin;
  side.slot_end = shape.second_end;
  side.c = band.to.weight_hh;
  if (sizes_.projected) {
    q.a = rows_.projected;
    q.a_row = sizes_.padded_output;
    q.slots = side.slot_end = 1;
    side.slot_begin = q.gate_of_slot[0] = 0;
    q.unit_vectors = panel_vectors;
    q.units = sizes_.output_size;
    q.panel_begin = outputs.begin;
    q.panel_end = outputs.end;
    side.c = band.to.weight_hr;
  }
  if (q.panel_begin == q.panel_end) return;
  side.columns = side.c_row = sizes_.hidden_size;
  side.b_groups = rows.from(rows.kept);
  side.b = kept_->u.data();
  side.b_row = sizes_.padded;
  sizes_.kernels->outer_product(q);
}

template <class T>
void GradientSums<T>::input_gradient(Size row, Size kept, const StepRows& rows, T* dx) const {
  if (rows.count == 0 || rows.groups == 0) return;
  const Size lanes = sizes_.lanes();
  Product<T> product{};
  product.b = inputs_.weights->input_back.data();
  product.vectors = quotient_up(sizes_.input_size, lanes);
  product.init = zeros_.data();
  product.c = dx + row * sizes_.input_size;
  product.c_row = product.columns = sizes_.input_size;
  product.rows = rows.count;
  product.groups = rows.groups;
  product.a_group = rows.gates_apart * sizes_.gates_row();
  product.c_group = rows.apart * sizes_.input_size;
  product.panel_end = quotient_up(product.vectors, panel_vectors);
  multiply_back(sizes_, rows_.dgates + kept * sizes_.gates_row(), sizes_.shape().input_begin,
                sizes_.input_slots(), product, sizes_.kernels->product);
}

template <class T>
void GradientSums<T>::add_bands() {
  Band& all = bands_.front();
  const auto add = [&](T* to, const Buffer<T>& from) {
    parallel_for(from.size(), add_grain, sizes_.lanes(), [&](Range mine) {
      sizes_.kernels->add(to + mine.begin, from.data() + mine.begin, mine.size());
    });
  };
  for (std::size_t index = 1; index < bands_.size(); ++index) {
    const Band& band = bands_[index];
    add(gradients_.weight_ih, band.weight_ih);
    add(gradients_.weight_hh, band.weight_hh);
    add(gradients_.weight_hr, band.weight_hr);
    add(all.one_hot.data(), band.one_hot);
    if (gradients_.bias_ih != nullptr) add(all.bias.data(), band.bias);
  }
}

template <class T>
void GradientSums<T>::finish() {
  add_bands();
  const CellShape& shape = sizes_.shape();
  const T* const bias = bands_.front().bias.data();
  for (int slot = 0; slot < shape.slots; ++slot) {
    const Size gate = shape.gate_of_slot[slot] * sizes_.hidden_size;
    const auto take = [&](T* to) {
      if (to == nullptr) return;
      sizes_.each_panel(slot, [&](Size unit, Size offset, Size count) {
        std::copy(bias + offset, bias + offset + count, to + gate + unit);
      });
    };
    if (shape.of_input(slot)) take(gradients_.bias_ih);
    if (shape.of_hidden(slot)) take(gradients_.bias_hh);
  }
  if (one_hot_) finish_one_hot();
  finish_units();
}

// Rows of pre-activations, one for each index, become columns of the weights.
template <class T>
void GradientSums<T>::finish_one_hot() {
  const CellShape& shape = sizes_.shape();
  const Size H = sizes_.hidden_size, I = sizes_.input_size;
  const Size grain = std::max<Size>(1, add_grain / (I * sizes_.panel_numbers()));
  parallel_for(sizes_.panels(), grain, 1, [&](Range panels) {
    for (int slot = shape.input_begin; slot < shape.input_end; ++slot) {
      sizes_.each_panel(slot, panels, [&](Size unit, Size offset, Size count) {
        const T* const from = bands_.front().one_hot.data() + offset;
        T* const to = gradients_.weight_ih + (shape.gate_of_slot[slot] * H + unit) * I;
        if (weights_.input_columns.empty()) {
          sizes_.kernels->transpose(from, sizes_.gates_row(), I, count, to, I);
        } else {
          finish_chosen(from, count, to);
        }
      });
    }
  });
}

// The same for some units, where the indices count among some of the columns.
template <class T>
void GradientSums<T>::finish_chosen(const T* from, Size count, T* to) const {
  std::fill(to, to + count * sizes_.input_size, T(0));
  for (Size unit = 0; unit < count; ++unit, ++from, to += sizes_.input_size) {
    const T* sum = from;
    for (const Size column : weights_.input_columns) {
      to[column] = *sum;
      sum += sizes_.gates_row();
    }
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
