// C = (init + A B) + bias with operands of bfloat16 and sums in float32, in the order that
// kernel_table/storage.hpp tells.
#pragma once

#include "isa/bfloat16/round.hpp"
#include "isa/panels/rows_of_a.hpp"
#include "isa/simd/narrow.hpp"
#include "isa/simd/partial.hpp"

namespace pyrnn {
namespace {

// ROWS x COLUMNS vectors, over some blocks of k. Strides of numbers of 16 bits count these.
struct Bfloat16Tile {
  const std::uint16_t* a;
  Size a_row, a_pair;
  const std::uint16_t* b;
  Size b_pair;
  Size pairs;                       // of all blocks
  const std::uint8_t* block_pairs;  // of each; or null, where all but the last are whole
  const float* init;                // or null: zeros
  Size init_row;
  float* c;
  Size c_row;
  Size vector;        // in C and init, from a vector to the next
  Size valid;         // columns from the first on
  const float* bias;  // or null
  bool adds;          // whether the sums are added to C
};

template <int ROWS, int COLUMNS>
void bfloat16_tile(const Bfloat16Tile& tile) {
  using V = Vector<float>;
  constexpr Size whole = bfloat16_block / 2;
  const auto columns = [&](int j) { return tile.valid - j * V::lanes; };
  V totals[ROWS][COLUMNS];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j)
      totals[i][j] =
          tile.init == nullptr || columns(j) <= 0
              ? V::zero()
              : load_some<V>(tile.init + i * tile.init_row + j * tile.vector, columns(j));
  }
  const std::uint16_t *a = tile.a, *b = tile.b;
  for (Size left = tile.pairs, block = 0; left > 0; ++block) {
    const Size pairs =
        tile.block_pairs != nullptr ? Size{tile.block_pairs[block]} : smaller(left, whole);
    left -= pairs;
    V even[ROWS][COLUMNS], odd[ROWS][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j) even[i][j] = odd[i][j] = V::zero();
    }
    for (Size pair = 0; pair < pairs; ++pair, a += tile.a_pair, b += tile.b_pair) {
      Pairs<V> weights[COLUMNS];
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j) weights[j] = load_pairs<V>(b + j * 2 * V::lanes);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; ++i) {
        const Pairs<V> element = broadcast_pair<V>(a + i * tile.a_row);
#pragma GCC unroll 4
        for (int j = 0; j < COLUMNS; ++j) {
          even[i][j] = multiply_add(element.first, weights[j].first, even[i][j]);
          odd[i][j] = multiply_add(element.second, weights[j].second, odd[i][j]);
        }
      }
    }
    // What the zeros of the block's rest do: a negative zero becomes a positive one.
    const bool filled = pairs < whole;
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j) {
        const V zero = V::zero();
        const V sum = filled ? (even[i][j] + zero) + (odd[i][j] + zero) : even[i][j] + odd[i][j];
        totals[i][j] = totals[i][j] + sum;
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) {
      if (columns(j) <= 0) continue;
      float* const c = tile.c + i * tile.c_row + j * tile.vector;
      V total = totals[i][j];
      if (tile.bias != nullptr) total = total + V::load(tile.bias + j * tile.vector);
      if (tile.adds) total = load_some<V>(c, columns(j)) + total;
      store_some<V>(total, c, columns(j));
    }
  }
}

using Bfloat16TileFunction = void (*)(const Bfloat16Tile&);

// Two vectors are widened once for all rows; two sums each. One row takes as many as there are.
constexpr int bfloat16_columns = 2;
constexpr int bfloat16_rows = has_32_registers<Vector<float>> ? 6 : 2;

template <int COLUMNS>
constexpr Bfloat16TileFunction bfloat16_tiles[7] = {
    nullptr,
    bfloat16_tile<1, COLUMNS>,
    bfloat16_tile<2, COLUMNS>,
    bfloat16_tile<lesser(3, bfloat16_rows), COLUMNS>,
    bfloat16_tile<lesser(4, bfloat16_rows), COLUMNS>,
    bfloat16_tile<lesser(5, bfloat16_rows), COLUMNS>,
    bfloat16_tile<lesser(6, bfloat16_rows), COLUMNS>};

// Rows of the next tile, of those that are left: nearly equally many in all.
static Size bfloat16_height(Size left) {
  return quotient_up(left, quotient_up(left, bfloat16_rows));
}

// At most `bfloat16_rows` rows, and columns of `vectors_at_once`.
inline void run_bfloat16_tile(Size rows, Size columns, const Bfloat16Tile& tile) {
  switch (columns) {
    case 1: return bfloat16_tiles<1>[rows](tile);
    case 2: return bfloat16_tiles<2>[rows](tile);
    case 3: return bfloat16_tile<1, 3>(tile);
    default: return bfloat16_tile<1, 4>(tile);
  }
}
static Size vectors_at_once(Size rows) { return rows == 1 ? panel_vectors : bfloat16_columns; }

// Whole tiles onto C, by the processor's own instructions for them if there are some; of which
// columns there are `valid`. How many rows are done then.
inline Size multiply_whole_tiles(const Product<float>& q, const Bfloat16Tile& tile, Size rows,
                                 Size columns) {
  using V = Vector<float>;
  const bool whole = V::lanes == tile_side && tile.valid >= columns * V::lanes;
  if (q.bfloat16.tiles == nullptr || !whole || rows < tile_side) return 0;
  const Size blocks = bfloat16_padded(2 * tile.pairs) / bfloat16_block, count = rows / tile_side;
  q.bfloat16.tiles->multiply({tile.a, tile.a_row, tile_side * tile.a_row, bfloat16_block, tile.b,
                              tile.b_pair, blocks, tile.init, tile.init_row,
                              tile_side * tile.init_row, tile.c, tile.c_row, tile_side * tile.c_row,
                              count, columns});
  for (Size row = 0; tile.bias != nullptr && row < count * tile_side; ++row) {
    float* const c = tile.c + row * tile.c_row;
    for (Size j = 0; j < columns * V::lanes; j += V::lanes)
      (V::load(c + j) + V::load(tile.bias + j)).store(c + j);
  }
  return count * tile_side;
}

// All rows onto one panel.
inline void bfloat16_panel(const Product<float>& q, const RowsOfA& rows, Size panel) {
  using V = Vector<float>;
  constexpr Size together = block_units<float> / V::lanes;
  const Size k = q.k_outer * q.k_inner, first = panel * q.width;
  const Size width = smaller(q.width, q.vectors - first);
  const Size block = q.blocks ? panel / together : panel;
  const Size in_block = q.blocks ? panel % together * V::lanes : 0;
  const Size at_once = vectors_at_once(rows.count);
  Bfloat16Tile tile{};
  tile.a_row = rows.index * q.bfloat16.a_row;
  tile.a_pair = 2;
  tile.b_pair = 2 * width * V::lanes;
  tile.pairs = quotient_up(k, 2);
  tile.init_row = rows.init;
  tile.c_row = rows.c;
  tile.vector = q.blocks ? block_units<float> : V::lanes;
  for (Size j = 0; j < width; j += at_once) {
    const Size columns = smaller(at_once, width - j), offset = in_block + j * tile.vector;
    tile.b = static_cast<const std::uint16_t*>(q.b) + first * V::lanes * bfloat16_padded(k) +
             2 * j * V::lanes;
    tile.valid = q.columns - (first + j) * V::lanes;
    tile.bias = q.bias == nullptr ? nullptr : q.bias + block * q.c_panel + offset;
    for (Size group = 0; group < rows.groups; ++group) {
      const auto begin_at = [&](Size row) {
        tile.a = q.bfloat16.a + (row * rows.index + group * rows.group_index) * q.bfloat16.a_row;
        tile.init =
            q.init + row * rows.init + group * rows.init_group + block * q.init_panel + offset;
        tile.c = q.c + row * rows.c + group * rows.c_group + block * q.c_panel + offset;
      };
      begin_at(0);
      Size height = multiply_whole_tiles(q, tile, rows.count, columns);
      for (Size row = height; row < rows.count; row += height) {
        height = bfloat16_height(rows.count - row);
        begin_at(row);
        run_bfloat16_tile(height, columns, tile);
      }
    }
  }
}

inline void bfloat16_product(const Product<float>& q, Size panel_begin, Size panel_end) {
  const RowsOfA rows(q);
  const bool tiled = q.bfloat16.tiles != nullptr && rows.count >= tile_side;
  if (tiled) q.bfloat16.tiles->configure();
  for (Size i = panel_begin; i < panel_end; ++i)
    bfloat16_panel(q, rows, q.last_first ? panel_end - 1 - (i - panel_begin) : i);
  if (tiled) q.bfloat16.tiles->release();
}

// Number (k, column of a panel's vector) as a product with a one there gives it: one vector.
inline Vector<float> bfloat16_weights(const Product<float>& q, Size k, Size panel, Size width,
                                      Size j) {
  using V = Vector<float>;
  const Size first = panel * q.width;
  const std::uint16_t* const pairs = static_cast<const std::uint16_t*>(q.b) +
                                     first * V::lanes * bfloat16_padded(q.k_inner) +
                                     (k / 2 * width + j) * V::lanes * 2;
  const Pairs<V> weights = load_pairs<V>(pairs);
  return (k % 2 == 0 ? weights.first : weights.second) + V::zero();
}

}  // namespace
}  // namespace pyrnn
