// Packing of weights into the panels that products read from front to back.
#pragma once

#include "isa/gemm/product.hpp"
#include "isa/gemm/transpose.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// WIDTH vectors of `count` rows into rows of that width; columns past the first `columns` become
// zeros.
template <class V, int WIDTH>
inline void pack_section(const typename V::Scalar* from, Size from_row, Size count, Size columns,
                         typename V::Scalar* to) {
  constexpr Size width = WIDTH * V::lanes;
  const auto each = [&](const auto& load) {
    for (Size row = 0; row < count; ++row)
#pragma GCC unroll 4
      for (Size j = 0; j < width; j += V::lanes)
        load(from + row * from_row + j, columns - j).store(to + row * width + j);
  };
  if (columns >= width) {
    each([](const auto* p, Size) { return V::load(p); });
  } else {
    each([](const auto* p, Size valid) { return load_some<V>(p, valid); });
  }
}

// `count` rows of the source into rows k .. k + count - 1 of every panel. A few rows at a time:
// each is read from front to back, each panel written so.
template <class V>
inline void pack_rows(const typename V::Scalar* from, Size from_row, Size count, Size columns,
                      Size k, Size k_count, typename V::Scalar* packed) {
  constexpr Size at_once = tuning::packed_rows, panel_columns = panel_vectors * V::lanes;
  for (Size begin = 0; begin < count; begin += at_once) {
    const Size rows = smaller(at_once, count - begin);
    for (Size column = 0; column < columns; column += panel_columns) {
      const Size width = smaller(panel_vectors, quotient_up(columns - column, V::lanes));
      const int section = section_width<V>(static_cast<int>(width));
      const auto pack = section == 1   ? pack_section<V, 1>
                        : section == 2 ? pack_section<V, 2>
                        : section == 3 ? pack_section<V, 3>
                                       : pack_section<V, 4>;
      for (Size j = 0; j < width; j += section) {
        const Size first = column + j * V::lanes;
        pack(from + begin * from_row + first, from_row, rows, columns - first,
             packed + column * k_count + offset_in_panel<V>(k + begin, j, k_count, width));
      }
    }
  }
}

// In which order the rows of a product back stand: slot by slot the units of a block, then of the
// next; the units that fill no block make a product of their own.
template <class T>
class BackOrder {
 public:
  struct Position {
    Size k, k_count;
    bool rest;
  };

  BackOrder(Size units, Size slots, bool in_blocks)
      : slots_(slots), whole_units_(in_blocks ? units / block_units<T> * block_units<T> : units) {
    rest_units_ = units - whole_units_;
    in_blocks_ = in_blocks;
  }
  Size whole() const { return whole_units_ * slots_; }
  Position position_of(Size unit, Size slot) const {
    if (!in_blocks_) return {unit, whole_units_, false};
    if (unit < whole_units_)
      return {offset_in_row<T>(unit, slots_) + slot * block_units<T>, whole(), false};
    return {slot * rest_units_ + unit - whole_units_, slots_ * rest_units_, true};
  }

 private:
  Size slots_, whole_units_, rest_units_;
  bool in_blocks_;
};

// Panels of units, for the forward pass (k = column of the source; slots x unit vectors x lanes)
// and for the backward pass (k = pre-activations in the order of a row, of the slots and units that
// count only). Each vector of units is packed for both before the next is read.
template <class V>
void pack_weights(const PackWeights<typename V::Scalar>& q) {
  const Size slots = q.slot_end - q.slot_begin, all_vectors = quotient_up(q.units, V::lanes);
  const Size unit_vectors = q.shape.unit_vectors;
  const BackOrder<typename V::Scalar> back(q.units, slots, q.shape.slots > 1);
  const Size last = smaller(q.panel_end * unit_vectors, all_vectors);
  for (Size first = q.panel_begin * unit_vectors; first < last; first += unit_vectors) {
    const Size count = smaller(unit_vectors, all_vectors - first);
    const Size width = slots * count, k = first * slots * V::lanes;
    const Size to_row = section_width<V>(static_cast<int>(width)) * V::lanes;
    for (Size vector = 0; vector < width; ++vector) {
      const Size slot = vector / count, unit = (first + vector % count) * V::lanes;
      const Size gate = q.shape.gate_of_slot[q.slot_begin + slot];
      const auto* const from = q.source + (gate * q.units + unit) * q.source_row;
      const Size valid = smaller(q.units - unit, V::lanes);
      transpose<V>(from, q.source_row, valid, q.columns,
                   q.forward + k * q.columns + offset_in_panel<V>(0, vector, q.columns, width),
                   to_row);
      if (q.back == nullptr) continue;
      const auto [first_k, count_of_k, rest] = back.position_of(unit, slot);
      pack_rows<V>(
          from, q.source_row, valid, q.columns, first_k, count_of_k,
          q.back + (rest ? back.whole() * quotient_up(q.columns, V::lanes) * V::lanes : 0));
    }
  }
}

// A plain matrix: (k, columns), or (columns, k) if transposed.
template <class V>
void pack_matrix(const typename V::Scalar* source, Size source_row, Size k_count, Size columns,
                 bool transposed, typename V::Scalar* packed) {
  const Size vectors = quotient_up(columns, V::lanes);
  if (!transposed) {
    pack_rows<V>(source, source_row, k_count, columns, 0, k_count, packed);
    return;
  }
  for (Size vector = 0; vector < vectors; ++vector) {
    const Size panel = vector / panel_vectors;
    const Size width = smaller(panel_vectors, vectors - panel * panel_vectors);
    const Size column = vector * V::lanes;
    transpose<V>(source + column * source_row, source_row, columns - column, k_count,
                 packed + panel * k_count * panel_vectors * V::lanes +
                     offset_in_panel<V>(0, vector - panel * panel_vectors, k_count, width),
                 section_width<V>(static_cast<int>(width)) * V::lanes);
  }
}

}  // namespace
}  // namespace pyrnn
