#include "runtime/layout/cell_weights.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// (slots * padded,): the biases of slots that x alone reaches, or of the others, if there are any;
// slots fed by both sides get the sum of both.
template <class T>
Buffer<T> bias_row(const CellSizes<T>& sizes, const CellParameters<T>& parameters, bool of_x) {
  const CellShape& shape = sizes.shape();
  bool any = false;
  for (int slot = 0; slot < shape.slots; ++slot) any |= shape.of_hidden(slot) != of_x;
  if (!any || (parameters.bias_ih == nullptr && parameters.bias_hh == nullptr)) return {};
  Buffer<T> row = Buffer<T>::zeros(sizes.gates());
  for (int slot = 0; slot < shape.slots; ++slot) {
    if (shape.of_hidden(slot) == of_x) continue;
    const Size gate = shape.gate_of_slot[slot] * sizes.hidden_size;
    const auto add = [&](const T* bias) {
      if (bias == nullptr) return;
      sizes.each_panel(slot, [&](Size unit, Size offset, Size count) {
        for (Size i = 0; i < count; ++i) row.data()[offset + i] += bias[gate + unit + i];
      });
    };
    if (shape.of_input(slot)) add(parameters.bias_ih);
    if (shape.of_hidden(slot)) add(parameters.bias_hh);
  }
  return row;
}

// Some columns of a matrix (rows, columns), side by side.
template <class T>
Buffer<T> chosen_columns(const T* from, Size rows, Size columns, const std::vector<Size>& chosen) {
  const Size count = static_cast<Size>(chosen.size());
  Buffer<T> to(rows * count);
  parallel_for(rows, std::max<Size>(1, tuning::choose_grain / count), 1, [&](Range mine) {
    T* next = to.data() + mine.begin * count;
    for (Size row = mine.begin; row < mine.end; ++row)
      for (const Size column : chosen) *next++ = from[row * columns + column];
  });
  return to;
}

// (unit blocks, padded), zeros where a parameter is missing
template <class T>
Buffer<T> unit_rows(const CellSizes<T>& sizes, const CellParameters<T>& parameters) {
  Buffer<T> rows = Buffer<T>::zeros(sizes.shape().unit_blocks() * sizes.padded);
  T* to = rows.data();
  for (int i = 0; i < max_unit_parameters; ++i) {
    const T* from = parameters.unit[i];
    for (int block = 0; block < sizes.shape().unit_parameters[i].blocks; ++block) {
      if (from != nullptr) std::copy(from, from + sizes.hidden_size, to);
      if (from != nullptr) from += sizes.hidden_size;
      to += sizes.padded;
    }
  }
  return rows;
}

}  // namespace

template <class T>
CellWeights<T>::CellWeights(const CellSizes<T>& cell_sizes, const CellParameters<T>& parameters,
                            PackedFor use)
    : sizes(cell_sizes),
      input_columns(std::move(use.input_columns)),
      input_bias(bias_row(cell_sizes, parameters, true)),
      bias(bias_row(cell_sizes, parameters, false)),
      unit(unit_rows(cell_sizes, parameters)) {
  const CellShape& shape = sizes.shape();
  const Size H = sizes.hidden_size, O = sizes.output_size;
  // Who reads them alone packs them alone: to fetch them from another core takes longer.
  const Size grain = use.several_readers ? tuning::pack_grain : std::numeric_limits<Size>::max();
  Buffer<T> chosen;
  const T* weight_ih = parameters.weight_ih;
  const T *weight_hh = parameters.weight_hh, *weight_hr = parameters.weight_hr;
  Buffer<T> rounded[3];
  if (is_int8(sizes.storage) && use.back) {
    const auto round = [&](const T*& weight, Size rows, Size columns, Buffer<T>& to) {
      if (weight == nullptr) return;
      to = int8_rounded(*sizes.kernels, weight, rows, columns);
      weight = to.data();
    };
    round(weight_ih, shape.gates * H, sizes.input_size, rounded[0]);
    round(weight_hh, shape.gates * H, O, rounded[1]);
    round(weight_hr, O, H, rounded[2]);
  }
  if (!input_columns.empty()) {
    chosen = chosen_columns(weight_ih, shape.gates * H, sizes.input_size, input_columns);
    weight_ih = chosen.data();
  }
  pack_slots(weight_ih, input_count(), shape.input_begin, shape.input_end, grain, input,
             use.back_to_input ? &input_back : nullptr);
  pack_slots(weight_hh, O, shape.hidden_begin, shape.hidden_end, grain, hidden,
             use.back ? &hidden_back : nullptr);
  pack_slots(weight_hh, O, shape.second_begin, shape.second_end, grain, second,
             use.back ? &second_back : nullptr);
  if (!sizes.projected) return;
  Buffer<T> projection(H * sizes.padded_output);
  sizes.kernels->pack_matrix(weight_hr, H, H, O, true, projection.data());
  store(std::move(projection), use.back, {H, panel_vectors, quotient_up(O, sizes.lanes())}, second);
  if (!use.back) return;
  Buffer<T> back(O * sizes.padded);
  sizes.kernels->pack_matrix(weight_hr, H, O, H, false, back.data());
  round_to(sizes.storage, back);
  second_back = BackPanels<T>(*sizes.kernels, std::move(back), O, O, H, sizes.compute);
}

template <class T>
void CellWeights<T>::store(Buffer<T> packed, bool back, PanelShape shape,
                           Panels<T>& forward) const {
  if (back) round_to(sizes.storage, packed);
  const Storage storage = packed_as(sizes.storage, sizes.compute);
  const bool widened = back && (storage == Storage::bfloat16 || storage == Storage::float16);
  forward = Panels<T>(*sizes.kernels, std::move(packed), widened ? Storage::full : storage, shape);
}

// The rows of a weight (gates * H, columns) that belong to some slots.
template <class T>
void CellWeights<T>::pack_slots(const T* weight, Size columns, int slot_begin, int slot_end,
                                Size grain, Panels<T>& forward, BackPanels<T>* back) const {
  const Size slots = slot_end - slot_begin;
  if (slots == 0) return;
  Buffer<T> packed(columns * slots * sizes.padded);
  const Size H = sizes.hidden_size, k = slots * H;
  Buffer<T> packed_back(back == nullptr ? 0 : sizes.whole_vectors(columns) * k);
  const Size panel_numbers = columns * slots * sizes.panel_units();
  parallel_for(sizes.panels(), std::max<Size>(1, grain / panel_numbers), 1, [&](Range panels) {
    in_pieces(panels, panel_numbers * tuning::products_of_a_copy, 1, [&](Range some) {
      PackWeights<T> pack{};
      pack.source = weight;
      pack.source_row = pack.columns = columns;
      pack.units = sizes.hidden_size;
      pack.shape = sizes.shape();
      pack.slot_begin = slot_begin;
      pack.slot_end = slot_end;
      pack.panel_begin = some.begin;
      pack.panel_end = some.end;
      pack.forward = packed.data();
      pack.back = back == nullptr ? nullptr : packed_back.data();
      sizes.kernels->pack_weights(pack);
    });
  });
  store(std::move(packed), back != nullptr,
        {columns, slots * sizes.shape().unit_vectors, slots * sizes.padded / sizes.lanes()},
        forward);
  if (back == nullptr) return;
  round_to(sizes.storage, packed_back);
  const Size whole = sizes.in_blocks() ? H / sizes.block() * sizes.block() * slots : 0;
  *back = BackPanels<T>(*sizes.kernels, std::move(packed_back), whole, k, columns, sizes.compute);
}

template struct CellWeights<float>;
template struct CellWeights<double>;

}  // namespace pyrnn
