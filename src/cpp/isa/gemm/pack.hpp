// Packing of weights into the panels that products read from front to back.
#pragma once

#include "isa/gemm/product.hpp"
#include "isa/gemm/transpose.hpp"

namespace pyrnn {
namespace {

// WIDTH vectors of `count` rows into rows of that width, of which the source has `valid`: the
// others become zeros, as do columns past the first `columns`.
template <class V, int WIDTH>
inline void pack_part(const typename V::Scalar* from, Size from_row, Size valid, Size count,
                      Size columns, typename V::Scalar* to) {
  constexpr Size width = WIDTH * V::lanes;
  const auto each = [&](Size begin, Size end, const auto& load) {
    for (Size row = begin; row < end; ++row)
#pragma GCC unroll 4
      for (Size j = 0; j < width; j += V::lanes) load(row, j).store(to + row * width + j);
  };
  if (columns >= width) {
    each(0, valid, [&](Size row, Size j) { return V::load(from + row * from_row + j); });
  } else {
    each(0, valid,
         [&](Size row, Size j) { return load_some<V>(from + row * from_row + j, columns - j); });
  }
  each(valid, count, [&](Size, Size) { return V::zero(); });
}

// `valid` rows of the source, and zeros for the others of `count`, into rows k .. k + count - 1 of
// every panel. A few rows at a time: each is read from front to back, each panel written so.
template <class V>
inline void pack_rows(const typename V::Scalar* from, Size from_row, Size valid, Size count,
                      Size columns, Size k, Size k_count, typename V::Scalar* packed) {
  constexpr Size at_once = 16, panel_columns = panel_vectors * V::lanes;
  for (Size begin = 0; begin < count; begin += at_once) {
    const Size rows = smaller(at_once, count - begin);
    const Size there = larger(0, smaller(rows, valid - begin));
    for (Size column = 0; column < columns; column += panel_columns) {
      const Size width = smaller(panel_vectors, quotient_up(columns - column, V::lanes));
      const int part = part_width<V>(static_cast<int>(width));
      const auto pack = part == 1   ? pack_part<V, 1>
                        : part == 2 ? pack_part<V, 2>
                        : part == 3 ? pack_part<V, 3>
                                    : pack_part<V, 4>;
      for (Size j = 0; j < width; j += part) {
        const Size first = column + j * V::lanes;
        pack(from + begin * from_row + first, from_row, there, rows, columns - first,
             packed + column * k_count + place_in_panel<V>(k + begin, j, k_count, width));
      }
    }
  }
}

// Panels of units, for the forward pass (k = column of the source; slots x unit vectors x lanes)
// and for the backward pass (k = pre-activations in the order of a row, only slots that count;
// padding is left out if all of it is at the end). Each vector of units is packed for both before
// the next is read.
template <class V>
void pack_weights(const PackWeights<typename V::Scalar>& q) {
  const Size slots = q.slot_end - q.slot_begin, all_vectors = quotient_up(q.units, V::lanes);
  const Size unit_vectors = q.shape.unit_vectors;
  const bool padded = q.shape.slots > 1;
  const Size back_count = padded ? slots * all_vectors * V::lanes : q.units;
  const Size last = smaller(q.panel_end * unit_vectors, all_vectors);
  for (Size first = q.panel_begin * unit_vectors; first < last; first += unit_vectors) {
    const Size count = smaller(unit_vectors, all_vectors - first);
    const Size width = slots * count, k = first * slots * V::lanes;
    const Size to_row = part_width<V>(static_cast<int>(width)) * V::lanes;
    for (Size vector = 0; vector < width; ++vector) {
      const Size slot = vector / count, unit = (first + vector % count) * V::lanes;
      const Size gate = q.shape.gate_of_slot[q.slot_begin + slot];
      const auto* const from = q.source + (gate * q.units + unit) * q.source_row;
      const Size valid = smaller(q.units - unit, V::lanes);
      transpose<V>(from, q.source_row, valid, q.columns,
                   q.forward + k * q.columns + place_in_panel<V>(0, vector, q.columns, width),
                   to_row);
      if (q.back == nullptr) continue;
      pack_rows<V>(from, q.source_row, valid, padded ? V::lanes : valid, q.columns,
                   k + vector * V::lanes, back_count, q.back);
    }
  }
}

// A plain matrix: (k, columns), or (columns, k) if transposed.
template <class V>
void pack_matrix(const typename V::Scalar* source, Size source_row, Size k_count, Size columns,
                 bool transposed, typename V::Scalar* packed) {
  const Size vectors = quotient_up(columns, V::lanes);
  if (!transposed) {
    pack_rows<V>(source, source_row, k_count, k_count, columns, 0, k_count, packed);
    return;
  }
  for (Size vector = 0; vector < vectors; ++vector) {
    const Size panel = vector / panel_vectors;
    const Size width = smaller(panel_vectors, vectors - panel * panel_vectors);
    const Size column = vector * V::lanes;
    transpose<V>(source + column * source_row, source_row, columns - column, k_count,
                 packed + panel * k_count * panel_vectors * V::lanes +
                     place_in_panel<V>(0, vector - panel * panel_vectors, k_count, width),
                 part_width<V>(static_cast<int>(width)) * V::lanes);
  }
}

}  // namespace
}  // namespace pyrnn
