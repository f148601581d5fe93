// Packing of weights into the panels that products read from front to back.
#pragma once

#include "isa/gemm/product.hpp"
#include "isa/gemm/transpose.hpp"

namespace pyrnn {
namespace {

// `lanes` rows of the source become one column of vectors: to[k, lane] = from[lane, k]; lanes past
// the valid ones are zeros. A cache line of each row at a time: whole rows would throw the lines of
// the packed side out before they are full.
template <class V>
inline void pack_transposed(const typename V::Scalar* from, Size from_row, Size valid, Size k_count,
                            typename V::Scalar* to, Size to_row) {
  using T = typename V::Scalar;
  constexpr Size block = Block<T>::size;
  constexpr Size line = 64 / static_cast<Size>(sizeof(T));
  const Size lanes = valid < V::lanes ? valid / block * block : V::lanes;
  const Size whole = k_count / block * block;
  for (Size k = 0; k < whole; k += line) {
    const Size end = smaller(k + line, whole);
    for (Size lane = 0; lane < lanes; lane += block) {
      for (Size i = k; i < end; i += block)
        transpose_block(from + lane * from_row + i, from_row, to + i * to_row + lane, to_row);
    }
  }
  for (Size lane = 0; lane < V::lanes; ++lane) {
    for (Size k = lane < lanes ? whole : 0; k < k_count; ++k)
      to[k * to_row + lane] = lane < valid ? from[lane * from_row + k] : T(0);
  }
}

// One row of the source into row k of every panel.
template <class V>
inline void pack_row(const typename V::Scalar* from, Size columns, Size vectors, Size k,
                     Size k_count, typename V::Scalar* packed) {
  for (Size vector = 0; vector < vectors; ++vector) {
    const Size panel = vector / panel_vectors;
    const Size width = smaller(panel_vectors, vectors - panel * panel_vectors);
    const Size valid = columns - vector * V::lanes;
    V x = V::zero();
    if (from != nullptr) x = load_some<V>(from + vector * V::lanes, valid);
    x.store(packed +
            (panel * k_count * panel_vectors + k * width + vector - panel * panel_vectors) *
                V::lanes);
  }
}

// Panels of units: (k = column of the source; slots x unit vectors x lanes).
template <class V>
void pack_forward(const PackWeights<typename V::Scalar>& q) {
  const Size slots = q.slot_end - q.slot_begin;
  const Size unit_vectors = q.shape.unit_vectors;
  const Size all_vectors = quotient_up(q.units, V::lanes);
  auto* to = q.packed;
  for (Size first = 0; first < all_vectors; first += unit_vectors) {
    const Size count = smaller(unit_vectors, all_vectors - first);
    const Size to_row = slots * count * V::lanes;
    for (Size slot = 0; slot < slots; ++slot) {
      const Size gate = q.shape.gate_of_slot[q.slot_begin + slot];
      for (Size j = 0; j < count; ++j) {
        const Size unit = (first + j) * V::lanes;
        pack_transposed<V>(q.source + (gate * q.units + unit) * q.source_row, q.source_row,
                           q.units - unit, q.columns, to + (slot * count + j) * V::lanes, to_row);
      }
    }
    to += q.columns * to_row;
  }
}

// Panels of columns: (k = pre-activations in the order of a row, slots that count only).
template <class V>
void pack_backward(const PackWeights<typename V::Scalar>& q) {
  const Size slots = q.slot_end - q.slot_begin;
  const Size padded = quotient_up(q.units, V::lanes) * V::lanes;
  const Size run = q.shape.unit_vectors * V::lanes;
  const Size vectors = quotient_up(q.columns, V::lanes);
  Size k = 0;
  for (Size first = 0; first < padded; first += run) {
    const Size lanes = smaller(run, padded - first);
    for (Size slot = 0; slot < slots; ++slot) {
      const Size gate = q.shape.gate_of_slot[q.slot_begin + slot];
      for (Size lane = 0; lane < lanes; ++lane, ++k) {
        const bool valid = first + lane < q.units;
        const auto* from = q.source + (gate * q.units + first + lane) * q.source_row;
        pack_row<V>(valid ? from : nullptr, q.columns, vectors, k, slots * padded, q.packed);
      }
    }
  }
}

// A plain matrix: (k, columns), or (columns, k) if transposed.
template <class V>
void pack_matrix(const typename V::Scalar* source, Size source_row, Size k_count, Size columns,
                 bool transposed, typename V::Scalar* packed) {
  const Size vectors = quotient_up(columns, V::lanes);
  if (!transposed) {
    for (Size k = 0; k < k_count; ++k)
      pack_row<V>(source + k * source_row, columns, vectors, k, k_count, packed);
    return;
  }
  for (Size vector = 0; vector < vectors; ++vector) {
    const Size panel = vector / panel_vectors;
    const Size width = smaller(panel_vectors, vectors - panel * panel_vectors);
    const Size column = vector * V::lanes;
    pack_transposed<V>(
        source + column * source_row, source_row, columns - column, k_count,
        packed + (panel * k_count * panel_vectors + vector - panel * panel_vectors) * V::lanes,
        width * V::lanes);
  }
}

}  // namespace
}  // namespace pyrnn
