// Sums of whole tiles with operands of bfloat16, for processors that have an
// instruction for them.
#pragma once

#include <cstdint>

#include "kernel_table/rows.hpp"

namespace pyrnn {

constexpr Size tile_side = 16;

// C = init + A B, over whole blocks of k, in the order that kernel_table/storage.hpp tells.
// Distances in A and B count their numbers of 16 bits.
struct TileProduct {
  const std::uint16_t* a;  // a tile has 16 rows of a block of k each
  Size a_row, a_tile, a_block;
  const std::uint16_t* b;  // pairs: a tile has 16 columns of a block of k
  Size b_pair;
  Size blocks;
  const float* init;  // may be C
  Size init_row, init_tile;
  float* c;
  Size c_row, c_tile;
  Size row_tiles, column_tiles;  // of the latter one or two, side by side
};

// A thread configures tiles before all its products of a call, and releases them afterwards:
// docs/tuning/amx.md counts how often.
struct TileFunctions {
  void (*configure)();
  void (*multiply)(const TileProduct&);
  void (*release)();
};

}  // namespace pyrnn
