// How packed weights are stored, and what int8 weights take besides.
#pragma once

#include <cstdint>

#include "kernel_table/rows.hpp"
#include "kernel_table/tiles.hpp"

namespace pyrnn {

// How packed weights are stored: as they are, or narrower, to be widened as they are read. A
// product of 16-bit weights is that of the widened ones, bit for bit. Pairs of bfloat16 are for
// products of that type: each unit has two numbers of k side by side. int8 is the same whole
// numbers, with rows of A rounded to 16 bits, or to 8 ("bytes"), for different instructions: each
// unit has 2 or 4 numbers of k side by side. Of those with as many bits, all results are the same.
enum class Storage : int {
  full,
  bfloat16,
  float16,
  bfloat16_pairs,
  int8_pairs,
  int8_fours,
  int8_bytes,
  int8_bytes_dot
};

// The type that the operands of products are rounded to. With the storage of weights, it decides
// how these are packed; how they are packed decides which product multiplies with them.
enum class Compute : int { full, bfloat16 };

static constexpr Storage packed_as(Storage storage, Compute compute) {
  return compute == Compute::bfloat16 ? Storage::bfloat16_pairs : storage;
}

static constexpr bool is_int8(Storage storage) { return storage >= Storage::int8_pairs; }
static constexpr bool has_byte_rows(Storage storage) { return storage >= Storage::int8_bytes; }
// How many numbers of k one instruction multiplies and adds: they lie side by side.
static constexpr Size int8_depth(Storage storage) { return storage == Storage::int8_pairs ? 2 : 4; }

template <class T>
constexpr Size stored_bytes(Storage storage) {
  return storage == Storage::full ? static_cast<Size>(sizeof(T)) : is_int8(storage) ? 1 : 2;
}

// int8 weights. A row of a weight is whole numbers of [-127, 127] times a scale, a row of A whole
// numbers of [-32767, 32767], or of [-127, 127], times another. Sums of their products are exact in
// 32 bits over so many k; longer rows are cut there, and each sum is added to the one before:
//   C = (sum * scale of the column) * scale of the row + C, the last two rounded once.
constexpr Size int8_span = 512;
// Numbers of k in memory: whole depths of any layout.
static constexpr Size int8_padded(Size k) { return quotient_up(k, 4) * 4; }
// Rows all of whose numbers are smaller have no scale that could be divided by: zeros.
constexpr float int8_least = 0x1p-100f;

// Products of bfloat16, with sums in float32, in the order of AMX's TDPBF16PS. k runs in blocks of
// 32, the last one filled up with zeros. In a block, the even and the odd k are two chains of
// multiply-adds from zero, and
//   C = C + (even + odd)
// for block after block. Of a sum over rows, blocks begin anew with each group of rows.
constexpr Size bfloat16_block = 32;
// Numbers of k in memory: whole blocks.
static constexpr Size bfloat16_padded(Size k) {
  return quotient_up(k, bfloat16_block) * bfloat16_block;
}

// Rows of A rounded to bfloat16, and zeros up to whole blocks; those of all groups, one after the
// other.
struct Bfloat16Operand {
  const std::uint16_t* a = nullptr;
  Size a_row = 0;
  const TileFunctions* tiles = nullptr;  // what multiplies whole tiles, if there is something
};

template <class T>
struct RoundRows {
  const T* a;
  Size a_row, a_outer, rows, k_outer, k_inner;
  std::uint16_t* to;
  Size to_row;
};

// Panels of (k, width * lanes) numbers, as pack_* leave them, into pairs: (k / 2, width * lanes, 2)
// for whole blocks of k.
template <class T>
struct PairPanels {
  const T* packed;
  Size k, width, vectors;
  std::uint16_t* to;
};

// Panels of numbers of bfloat16 as they are read: two neighbouring vectors become pairs, in place.
struct PairVectors {
  std::uint16_t* numbers;
  Size k, width, vectors;
};

// The numbers of columns of int8 weights, and of rows of A, beside the packed weights.
template <class T>
struct Int8Operands {
  const T* column_scales = nullptr;  // of all vectors, panel by panel
  // What the sums of each span begin with: (spans, vectors * lanes)
  const std::int32_t* column_offsets = nullptr;
  const std::int16_t* a = nullptr;  // rows of all groups, one after the other
  Size a_row = 0;
  const T* row_scales = nullptr;
};

// Rows of A into whole numbers: as pairs take them; for fours the lower bytes of all numbers of a
// row, then the upper ones, both without a sign; or single bytes.
template <class T>
struct QuantizeRows {
  const T* a;
  Size a_row, rows, k;
  Storage storage;
  std::int16_t* to;
  Size to_row;
  T* scales;
};

// Panels of (k, width * lanes) numbers, as pack_* leave them, into int8 weights.
template <class T>
struct QuantizePanels {
  const T* packed;
  Size k, width, vectors;
  Storage storage;
  std::int8_t* to;
  T* scales;
  std::int32_t* offsets;
};

}  // namespace pyrnn
