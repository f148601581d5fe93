// Where numbers lie in panels of packed weights, and what the layout depends on.
#pragma once

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

constexpr int lesser(int a, int b) { return a < b ? a : b; }
constexpr Size smaller(Size a, Size b) { return a < b ? a : b; }

// Choices that differ by instruction set are made by the sums that its registers hold: AVX-512 and
// NEON have 32 of them.
template <class V>
constexpr bool has_32_registers = V::accumulators == 24;
template <class V>
constexpr bool is_avx2 = V::accumulators == 12;

// Vectors that lie together for each k. With few registers, a panel of four is packed as two
// halves, one after the other: tiles of up to three rows read both at once, taller ones one by one,
// for six rows of two vectors load a third less than three of four, and read a panel half as often.
template <class V>
constexpr int section_width(int columns) {
  return is_avx2<V> && columns == 4 ? 2 : columns;
}

// Whether the vectors of a row of bfloat16 lie in pairs, each with its neighbour. A pair and its
// mask take registers, of which few may be left.
template <class V>
constexpr bool in_pairs(Size width) {
  return has_32_registers<V> && width % 2 == 0;
}

// Where vector j of row k of a panel is, of `k_count` rows.
template <class V>
constexpr Size offset_in_panel(Size k, Size j, Size k_count, Size columns) {
  const Size width = section_width<V>(static_cast<int>(columns));
  const Size in_section = j < width ? j : j - width;
  return (in_section == j ? k * width + j : (k_count + k) * width + in_section) * V::lanes;
}

}  // namespace
}  // namespace pyrnn
