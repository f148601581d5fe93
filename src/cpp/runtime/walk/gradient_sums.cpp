#include "runtime/walk/gradient_sums.hpp"

#include <algorithm>

#include "runtime/threads/parallel.hpp"
#include "tuning.hpp"

namespace pyrnn {

template <class T>
GradientSums<T>::GradientSums(const CellWeights<T>& weights, bool one_hot,
                              const Gradients<T>& gradients, Size unit_rows, int bands)
    : weights_(weights),
      sizes_(weights.sizes),
      gradients_(gradients),
      one_hot_(one_hot),
      unit_rows_(unit_rows) {
  for (Buffer<T>* numbers : {&units_, &units_before_, &units_low_})
    *numbers = Buffer<T>::zeros(unit_rows * sizes_.shape().unit_blocks() * sizes_.padded);
  for (int band = 0; band < bands; ++band) bands_.push_back(new_band(band));
}

template <class T>
typename GradientSums<T>::Band GradientSums<T>::new_band(int index) const {
  Band band;
  const auto make = [&](Sums& sums, T* gradient, Size size) {
    if (gradient == nullptr) return;
    if (index > 0) sums.own = Buffer<T>(size);
    sums.all = index > 0 ? sums.own.data() : gradient;
    sums.size = size;
  };
  const Size rows = sizes_.shape().gates * sizes_.hidden_size;
  if (!one_hot_) make(band.weight_ih, gradients_.weight_ih, rows * sizes_.input_size);
  make(band.weight_hh, gradients_.weight_hh, rows * sizes_.output_size);
  make(band.weight_hr, gradients_.weight_hr, sizes_.output_size * sizes_.hidden_size);
  if (gradients_.bias_ih != nullptr) {
    band.bias.own = Buffer<T>(sizes_.gates());
    band.bias.all = band.bias.own.data();
    band.bias.size = sizes_.gates();
  }
  if (one_hot_) {
    Sums& sums = band.one_hot;
    sums.size = weights_.input_count() * sizes_.gates_row();
    sums.own = Buffer<T>::zeros(sums.size);
    sums.all = sums.own.data();
  }
  band.open_before.push_back({});
  return band;
}

template <class T>
void GradientSums<T>::begin(const LayerInputs<T>& inputs, const SavedValues<T>& saved,
                            const GradientRows<T>& rows, int threads) {
  inputs_ = inputs;
  saved_ = &saved;
  rows_ = rows;
  const Size input = one_hot_ ? 0 : sizes_.input_size;
  while (static_cast<int>(scratch_.size()) < threads)
    scratch_.emplace_back(sizes_.kernels->outer_scratch(input, sizes_.hidden_size));
  const Schedule& schedule = *inputs.schedule;
  const std::size_t steps = static_cast<std::size_t>(schedule.steps());
  for (std::size_t index = 0; index < bands_.size(); ++index) {
    Band& band = bands_[index];
    const Range all = band_rows(static_cast<int>(index));
    OpenBlock open = band.open_before.front();
    band.open_before.resize(steps + 1);
    band.open_before[steps] = open;
    for (std::size_t step = steps; step-- > 0;) {
      const Size count = std::min(all.end, schedule.count[step]) - all.begin;
      open.add(count);
      band.open_before[step] = open;
    }
    for (Sums* sums : {&band.weight_ih, &band.weight_hh, &band.weight_hr, &band.bias})
      sums->expect(open, false);
    band.one_hot.expect(open, true);
  }
}

template <class T>
void GradientSums<T>::close_units(Size steps, Range unit_rows, Range panels) {
  const Size blocks = sizes_.shape().unit_blocks(), padded = sizes_.padded;
  if (blocks == 0 || steps % sum_block > 0) return;
  const Range units = within(panels, sizes_.panel_units(), padded);
  for (Size row = unit_rows.begin * blocks; row < unit_rows.end * blocks; ++row) {
    const Size offset = row * padded + units.begin;
    sizes_.kernels->add_to_totals(units_before_.data() + offset, units_.data() + offset,
                                  units_low_.data() + offset, units.size(), false, false);
    std::fill(units_.data() + offset, units_.data() + offset + units.size(), T(0));
  }
}

template <class T>
void GradientSums<T>::end() {
  for (Band& band : bands_) band.open_before.resize(1);
}

template <class T>
Size GradientSums<T>::stretch_to(Size begin, Size end) const {
  const std::vector<OpenBlock>& open = bands_.front().open_before;
  const auto ends_at = [&](Size step) { return open[static_cast<std::size_t>(step)].rows == 0; };
  for (Size step = begin; step < end; ++step)
    if (ends_at(step)) return step;
  Size step = begin;
  while (step > 0 && !ends_at(step)) --step;
  const Size wanted = end - begin, cuts = std::max<Size>(1, (end - step + wanted / 2) / wanted);
  return end - quotient_up(end - step, cuts);
}

template <class T>
void GradientSums<T>::sum(Size begin, Size end, int band_index, Range panels, Range outputs,
                          int thread) {
  Band& band = bands_[static_cast<std::size_t>(band_index)];
  // A band lies in one slice of what is saved.
  const BandRows rows(*inputs_.schedule, saved_->slices, band_rows(band_index), {begin, end},
                      inputs_.first_step, band.open_before[static_cast<std::size_t>(end)]);
  for (const BlockRows& block_rows : rows.blocks) {
    if (panels.size() > 0) {
      sum_bias(band, rows, block_rows, panels);
      if (one_hot_) sum_one_hot(band, rows, block_rows, panels, end);
      OuterProduct<T> q = outer_of(rows, block_rows, panels, thread);
      if (!one_hot_) q.sides[q.side_count++] = input_side(band, rows, block_rows);
      if (sizes_.shape().has_hidden())
        q.sides[q.side_count++] = hidden_side(band, rows, block_rows);
      if (q.side_count > 0) sizes_.kernels->outer_product(q);
      const CellShape& shape = sizes_.shape();
      if (!one_hot_)
        add_bundles(band.weight_ih, block_rows, panels, shape.input_begin, shape.input_end,
                    sizes_.input_size);
      add_bundles(band.weight_hh, block_rows, panels, shape.hidden_begin, shape.hidden_end,
                  sizes_.output_size);
    }
    if (sizes_.two_products()) sum_second(band, rows, block_rows, panels, outputs, thread);
  }
}

template <class T>
Range GradientSums<T>::columns_of(Range panels) const {
  const auto column = [&](Size panel) {
    return quotient_up(panel, sizes_.panels_together()) * sizes_.panel_stride();
  };
  return {column(panels.begin), std::min(column(panels.end), sizes_.gates())};
}

template <class T>
void GradientSums<T>::sum_bias(Band& band, const BandRows& rows, const BlockRows& block_rows,
                               Range panels) {
  Sums& sums = band.bias;
  if (sums.all == nullptr) return;
  const Range columns = columns_of(panels);
  T* const block = sums.of_block(block_rows.before);
  sizes_.kernels->column_sums(rows_.dgates, sizes_.gates_row(), rows.from(rows.saved, block_rows),
                              columns.begin, columns.end, block_rows.before.rows > 0, block);
  if (block_rows.closes && block_rows.before.block > 0)
    sizes_.kernels->add(sums.of_bundle(block_rows.before) + columns.begin, block + columns.begin,
                        columns.size());
  add_bundle(sums, block_rows, columns.begin, columns.size());
}

// The sums of a bundle of blocks that ends to the totals, for some numbers of them.
template <class T>
void GradientSums<T>::add_bundle(Sums& sums, const BlockRows& block_rows, Size begin,
                                 Size count) const {
  if (!block_rows.closes_bundle() || block_rows.before.bundle == 0) return;
  sizes_.kernels->add_to_totals(sums.all + begin, sums.bundle.data() + begin,
                                sums.low.data() + begin, count, block_rows.before.bundle == 1,
                                block_rows.last);
}

// The same for the rows of a weight that belong to some panels of units, of some slots.
template <class T>
void GradientSums<T>::add_bundles(Sums& sums, const BlockRows& block_rows, Range panels,
                                  int slot_begin, int slot_end, Size columns) const {
  const Range units = within(panels, sizes_.panel_units(), sizes_.hidden_size);
  for (int slot = slot_begin; slot < slot_end; ++slot) {
    const Size gate = sizes_.shape().gate_of_slot[slot] * sizes_.hidden_size;
    add_bundle(sums, block_rows, (gate + units.begin) * columns, units.size() * columns);
  }
}

// The same sums as of rows with a one each: those of a block, of a bundle of blocks, and the
// totals.
template <class T>
void GradientSums<T>::sum_one_hot(Band& band, const BandRows& rows, const BlockRows& block_rows,
                                  Range panels, Size end) {
  const Range columns = columns_of(panels);
  Sums& sums = band.one_hot;
  sizes_.kernels->scatter_sums(rows_.dgates, sizes_.gates_row(), rows.from(rows.saved, block_rows),
                               inputs_.x.indices, rows.from(rows.packed, block_rows), columns.begin,
                               columns.end, sums.of_block(block_rows.before), sizes_.gates_row());
  if (block_rows.closes && block_rows.before.block > 0)
    close_one_hot(sums, rows, block_rows, columns, end);
  if (!block_rows.closes_bundle() || block_rows.before.bundle == 0) return;
  for (Size index = 0; index < weights_.input_count(); ++index) {
    const Size offset = index * sizes_.gates_row() + columns.begin;
    add_bundle(sums, block_rows, offset, columns.size());
    std::fill_n(sums.bundle.data() + offset, columns.size(), T(0));
  }
}

// Adds the sums of a block to those of its bundle: of all indices, or of those that the block has
// if it is in this segment of the sequence and has fewer. An index that it has twice has nothing to
// add the second time.
template <class T>
void GradientSums<T>::close_one_hot(Sums& sums, const BandRows& rows, const BlockRows& block_rows,
                                    Range columns, Size end) {
  const Schedule& schedule = *inputs_.schedule;
  const auto close = [&](Size index) {
    const Size offset = index * sizes_.gates_row() + columns.begin;
    T* const block = sums.block.data() + offset;
    sizes_.kernels->add(sums.of_bundle(block_rows.before) + offset, block, columns.size());
    std::fill_n(block, columns.size(), T(0));
  };
  const auto close_rows = [&](Size first, Size count) {
    for (Size row = first; row < first + count; ++row) close(inputs_.x.indices[row]);
  };
  Size earlier = 0, step = end;
  while (earlier < block_rows.before.rows && step < schedule.steps())
    earlier +=
        std::min(schedule.count_of(step++), schedule.batch_size / static_cast<Size>(bands_.size()));
  if (earlier < block_rows.before.rows || weights_.input_count() <= 2 * sum_block) {
    for (Size index = 0; index < weights_.input_count(); ++index) close(index);
    return;
  }
  for (Size later = end; later < step; ++later)
    close_rows(schedule.first_of(later), schedule.count_of(later));
  for (Size group = block_rows.begin; group < block_rows.end; ++group) {
    const std::size_t i = static_cast<std::size_t>(group);
    close_rows(rows.packed[i], rows.counts[i]);
  }
}

template <class T>
OuterProduct<T> GradientSums<T>::outer_of(const BandRows& rows, const BlockRows& block_rows,
                                          Range panels, int thread) {
  const CellShape& shape = sizes_.shape();
  OuterProduct<T> q{};
  q.a = rows_.dgates;
  q.a_row = sizes_.gates_row();
  q.a_groups = rows.from(rows.saved, block_rows);
  q.slots = shape.slots;
  q.unit_vectors = shape.unit_vectors;
  std::copy(shape.gate_of_slot, shape.gate_of_slot + max_slots, q.gate_of_slot);
  q.units = sizes_.hidden_size;
  q.panel_begin = panels.begin;
  q.panel_end = panels.end;
  q.compute = sizes_.compute;
  if (q.compute == Compute::bfloat16) q.tiles = usable_tiles();
  q.scratch = scratch_[static_cast<std::size_t>(thread)].data();
  return q;
}

// Where a block's sums come from and go to.
template <class T>
OuterSide<T> GradientSums<T>::side_of(Sums& sums, const BlockRows& block_rows, Size columns) const {
  OuterSide<T> side{};
  side.columns = side.c_row = columns;
  T* const block = sums.of_block(block_rows.before);
  side.from = block_rows.before.rows > 0 ? block : nullptr;
  side.c = block_rows.closes ? sums.of_bundle(block_rows.before) : block;
  side.adds = block_rows.closes && block_rows.before.block > 0;
  return side;
}

template <class T>
OuterSide<T> GradientSums<T>::input_side(Band& band, const BandRows& rows,
                                         const BlockRows& block_rows) const {
  const CellShape& shape = sizes_.shape();
  OuterSide<T> side = side_of(band.weight_ih, block_rows, sizes_.input_size);
  side.slot_begin = shape.input_begin;
  side.slot_end = shape.input_end;
  side.b = inputs_.x.dense;
  side.b_row = inputs_.x.row;
  side.b_groups = rows.from(rows.packed, block_rows);
  return side;
}

// The first step's term comes last, and its rows of B are those of h0.
template <class T>
OuterSide<T> GradientSums<T>::hidden_side(Band& band, const BandRows& rows,
                                          const BlockRows& block_rows) const {
  const CellShape& shape = sizes_.shape();
  const bool masked = saved_->hidden.size() > 0;
  OuterSide<T> side = side_of(band.weight_hh, block_rows, sizes_.output_size);
  side.slot_begin = shape.hidden_begin;
  side.slot_end = shape.hidden_end;
  side.b = masked ? saved_->hidden.data() : inputs_.y;
  side.b_row = masked ? sizes_.output_size : inputs_.y_row;
  side.b_groups = rows.from(masked ? rows.saved_before : rows.packed_before, block_rows);
  if (block_rows.of_first_step) side.b_last = masked ? saved_->hidden0.data() : inputs_.h0;
  side.b_last_row = sizes_.output_size;
  return side;
}

// The weights that u was multiplied with: rows of weight_hh, or the projection.
template <class T>
void GradientSums<T>::sum_second(Band& band, const BandRows& rows, const BlockRows& block_rows,
                                 Range panels, Range outputs, int thread) {
  const CellShape& shape = sizes_.shape();
  OuterProduct<T> q = outer_of(rows, block_rows, panels, thread);
  q.side_count = 1;
  OuterSide<T>& side = q.sides[0];
  Sums& sums = sizes_.projected ? band.weight_hr : band.weight_hh;
  side = side_of(sums, block_rows, sizes_.hidden_size);
  side.slot_begin = shape.second_begin;
  side.slot_end = shape.second_end;
  if (sizes_.projected) {
    set_matrix(q, rows_.projected, sizes_.padded_output, sizes_.output_size, outputs);
    side.slot_begin = 0;
    side.slot_end = q.slots;
  }
  if (q.panel_begin == q.panel_end) return;
  side.b_groups = rows.from(rows.saved, block_rows);
  side.b = saved_->u.data();
  side.b_row = sizes_.padded;
  sizes_.kernels->outer_product(q);
  if (sizes_.projected) {
    const Range units = within(outputs, panel_vectors * sizes_.lanes(), sizes_.output_size);
    add_bundle(sums, block_rows, units.begin * side.columns, units.size() * side.columns);
  } else {
    add_bundles(sums, block_rows, panels, shape.second_begin, shape.second_end, side.columns);
  }
}

template <class T>
void GradientSums<T>::input_gradient(Size row, Size saved_row, const StepRows& rows, T* dx) const {
  if (rows.count == 0 || rows.groups == 0) return;
  const Size I = sizes_.input_size;
  Product<T> product{};
  set_columns(product, nullptr, I, sizes_.lanes());
  write_to(product, dx + row * I, I, rows.count);
  product.groups = rows.groups;
  product.a_group = rows.gates_apart * sizes_.gates_row();
  product.c_group = rows.apart * I;
  multiply_back(sizes_, inputs_.weights->input_back, rows_.dgates + saved_row * sizes_.gates_row(),
                sizes_.shape().input_begin, sizes_.input_slots(), product,
                [&](Product<T>& part) { multiply_rows(*sizes_.kernels, part); });
}

template <class T>
void GradientSums<T>::add_bands() {
  Band& all = bands_.front();
  const auto each = [&](Size numbers, const auto& work) {
    parallel_for(numbers, tuning::add_grain, sizes_.lanes(), work);
  };
  for (Sums Band::* sums :
       {&Band::weight_ih, &Band::weight_hh, &Band::weight_hr, &Band::one_hot, &Band::bias}) {
    for (std::size_t index = 1; index < bands_.size(); ++index) {
      const Sums& from = bands_[index].*sums;
      T* const to = (all.*sums).all;
      each(from.size, [&](Range mine) {
        sizes_.kernels->add(to + mine.begin, from.all + mine.begin, mine.size());
      });
    }
  }
}

template <class T>
void GradientSums<T>::finish() {
  add_bands();
  const CellShape& shape = sizes_.shape();
  const T* const bias = bands_.front().bias.all;
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
  const Size grain = std::max<Size>(1, tuning::add_grain / (I * sizes_.panel_numbers()));
  parallel_for(sizes_.panels(), grain, 1, [&](Range panels) {
    for (int slot = shape.input_begin; slot < shape.input_end; ++slot) {
      sizes_.each_panel(slot, panels, [&](Size unit, Size offset, Size count) {
        const T* const from = bands_.front().one_hot.all + offset;
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
  const Kernels<T>& kernels = *sizes_.kernels;
  const Size row = sizes_.shape().unit_blocks() * padded;
  kernels.add_to_totals(units_before_.data(), units_.data(), units_low_.data(), units_.size(),
                        false, true);
  Size first = 0;
  for (int i = 0; i < max_unit_parameters; ++i) {
    for (int block = 0; block < sizes_.shape().unit_parameters[i].blocks; ++block, ++first) {
      if (gradients_.unit[i] == nullptr) continue;
      T* const to = gradients_.unit[i] + block * H;
      Buffer<T> low = Buffer<T>::zeros(H);
      std::fill(to, to + H, T(0));
      for (Size n = 0; n < unit_rows_; ++n)
        kernels.add_to_totals(to, units_before_.data() + n * row + first * padded, low.data(), H,
                              false, n + 1 == unit_rows_);
    }
  }
}

template class GradientSums<float>;
template class GradientSums<double>;

}  // namespace pyrnn
