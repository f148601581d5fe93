// Sums over rows with operands of bfloat16: the gradients of weights.
//
// Both sides are packed into pairs of rows. Blocks of the sums begin with each group of rows, so
// that they do not depend on which groups a call has.
#pragma once

#include "isa/bfloat16/product.hpp"
#include "isa/gemm/outer.hpp"
#include "isa/gemm/transpose.hpp"

namespace pyrnn {
namespace {

// Rows in blocks of at most 32 of a group each.
struct BlocksOfRows {
  std::uint8_t pairs[sum_block];
  std::int16_t rows[sum_block];
  Size count = 0, all_pairs = 0;

  explicit BlocksOfRows(const RowGroups& groups) {
    for (Size group = 0; group < groups.count; ++group)
      for (Size left = groups.rows[group]; left > 0; left -= rows[count++]) {
        rows[count] = static_cast<std::int16_t>(smaller(left, bfloat16_block));
        pairs[count] = static_cast<std::uint8_t>(quotient_up(rows[count], 2));
        all_pairs += pairs[count];
      }
  }

  bool are_whole() const { return count * bfloat16_block == 2 * all_pairs; }

  // Calls put(first row, second row or null, pair), with rows as row_at(group, row in it) gives
  // them.
  template <class RowAt, class Put>
  void each_pair(const RowGroups& groups, const RowAt& row_at, const Put& put) const {
    Size block = 0, pair = 0;
    for (Size group = 0; group < groups.count; ++group) {
      for (Size begin = 0; begin < groups.rows[group]; begin += rows[block++]) {
        const Size end = begin + rows[block];
        for (Size row = begin; row < end; row += 2)
          put(row_at(group, row), row + 1 < end ? row_at(group, row + 1) : nullptr, pair++);
      }
    }
  }
};

// `columns` numbers of two rows into pairs, with zeros up to whole vectors.
inline void pack_pairs(const float* first, const float* second, Size columns, Size all,
                       std::uint16_t* to) {
  const Size there = smaller(columns, all);
  interleave(first, second, there, to);
  std::memset(to + 2 * there, 0, static_cast<std::size_t>(all - there) * 2 * sizeof(*to));
}

inline void pack_bfloat16_b(const OuterSide<float>& side, const BlocksOfRows& blocks,
                            std::uint16_t* packed) {
  using V = Vector<float>;
  const OuterPanels<V> panels(side.columns);
  const RowGroups& groups = side.b_groups;
  const auto row_at = [&](Size group, Size row) {
    const bool last = side.b_last != nullptr && group + 1 == groups.count;
    return last ? side.b_last + (groups.first[group] + row) * side.b_last_row
                : side.b + (groups.first[group] + row) * side.b_row;
  };
  blocks.each_pair(groups, row_at, [&](const float* first, const float* second, Size pair) {
    for (Size panel = 0; panel < panels.count; ++panel) {
      const Size column = panels.first(panel) * V::lanes, width = panels.width(panel) * V::lanes;
      pack_pairs(first + column, second == nullptr ? nullptr : second + column,
                 side.columns - column, width,
                 packed + 2 * (panels.begin(panel, blocks.all_pairs) + pair * width));
    }
  });
}

// Packed pairs of A, transposed into tiles: of each vector of columns, for each block.
class TilesOfA {
 public:
  TilesOfA(const BlocksOfRows& blocks, std::uint16_t* memory)
      : blocks_(blocks.count), tiles_(memory) {}

  void take(const std::uint16_t* pairs, Size columns) {
    using V = Vector<float>;
    for (Size column = 0; column + tile_side <= columns; column += tile_side)
      for (Size block = 0; block < blocks_; ++block)
        transpose_matrix<V>(
            static_cast<const float*>(
                static_cast<const void*>(pairs + 2 * (block * tile_side * columns + column))),
            columns, tile_side, tile_side,
            static_cast<float*>(static_cast<void*>(tiles_of(column) + block * tile)), tile_side);
  }
  std::uint16_t* tiles_of(Size column) const {
    return tiles_ + column / tile_side * blocks_ * tile;
  }

  static constexpr Size tile = tile_side * bfloat16_block;

 private:
  Size blocks_;
  std::uint16_t* tiles_;
};

// Tiles t, and t + 1 if `both`, onto `columns` tiles of a side's C.
inline void outer_tiles(const OuterProduct<float>& q, const OuterSide<float>& side,
                        const Bfloat16Tile& panel, const TilesOfA& a,
                        const OuterTiles<Vector<float>>& tiles, int t, bool both, Size column,
                        Size columns) {
  using V = Vector<float>;
  alignas(64) static constexpr float zeros[2 * tile_side] = {};
  alignas(64) float sums[2 * tile_side * 2 * tile_side];
  const Size offset = tiles.in_c[t] * side.c_row + column;
  const Size next = both ? (tiles.in_c[t + 1] - tiles.in_c[t]) * side.c_row : 0;
  const std::uint16_t* const first = a.tiles_of(tiles.in_a[t]);
  TileProduct product{};
  product.a = first;
  product.a_row = bfloat16_block;
  product.a_tile = both ? a.tiles_of(tiles.in_a[t + 1]) - first : 0;
  product.a_block = TilesOfA::tile;
  product.b = panel.b;
  product.b_pair = panel.b_pair;
  product.blocks = panel.pairs / tile_side;
  product.init = side.from == nullptr ? zeros : side.from + offset;
  product.init_row = side.from == nullptr ? 0 : side.c_row;
  product.init_tile = side.from == nullptr ? 0 : next;
  product.c = side.adds ? sums : side.c + offset;
  product.c_row = side.adds ? 2 * tile_side : side.c_row;
  product.c_tile = side.adds ? tile_side * product.c_row : next;
  product.row_tiles = both ? 2 : 1;
  product.column_tiles = columns;
  q.tiles->multiply(product);
  if (!side.adds) return;
  for (Size row = 0; row < product.row_tiles * tile_side; ++row) {
    float* const c = side.c + offset + row / tile_side * next + row % tile_side * side.c_row;
    for (Size j = 0; j < columns * tile_side; j += V::lanes)
      (V::load(c + j) + V::load(sums + row * 2 * tile_side + j)).store(c + j);
  }
}

inline void outer_bfloat16(const OuterProduct<float>& q) {
  using V = Vector<float>;
  const Size least = q.slots == 1 ? 1 : block_vectors<V>;
  const Size panel_columns = q.slots * q.unit_vectors * V::lanes;
  const Size at_once = larger(1, outer_columns / (least * panel_columns)) * least;
  const BlocksOfRows blocks(q.a_groups);
  // Pairs take the room of a number each, and there are no more of them than rows.
  std::uint16_t* next = reinterpret_cast<std::uint16_t*>(q.scratch);
  std::uint16_t* packed_b[max_outer_sides];
  for (int i = 0; i < q.side_count; ++i) {
    packed_b[i] = next;
    next += 2 * OuterPanels<V>(q.sides[i].columns).all(sum_block);
    pack_bfloat16_b(q.sides[i], blocks, packed_b[i]);
  }
  std::uint16_t* const packed_a = next;
  const bool tiled = q.tiles != nullptr && V::lanes == tile_side && blocks.are_whole();
  if (tiled) q.tiles->configure();
  const auto row_of_a = [&](Size group, Size row) {
    return q.a + (q.a_groups.first[group] + row) * q.a_row;
  };
  for (Size begin = q.panel_begin; begin < q.panel_end; begin += at_once) {
    const OuterColumns columns(q, V::lanes, begin, smaller(begin + at_once, q.panel_end));
    blocks.each_pair(q.a_groups, row_of_a, [&](const float* first, const float* second, Size pair) {
      interleave(first + columns.first, second == nullptr ? nullptr : second + columns.first,
                 columns.count, packed_a + 2 * pair * columns.count);
    });
    // Blocks that are whole have two rows in a pair, so half of A's memory is left.
    TilesOfA tiles_of_a(blocks, packed_a + 2 * blocks.all_pairs * columns.count);
    if (tiled) tiles_of_a.take(packed_a, columns.count);
    for (int i = 0; i < q.side_count; ++i) {
      const OuterSide<float>& side = q.sides[i];
      const OuterTiles<V> tiles(q, side, columns, tiled ? tile_side : outer_tile_rows<V>);
      const OuterPanels<V> panels(side.columns);
      Bfloat16Tile tile{};
      tile.a_row = 2;
      tile.a_pair = 2 * columns.count;
      tile.pairs = blocks.all_pairs;
      tile.block_pairs = blocks.pairs;
      tile.init_row = tile.c_row = side.c_row;
      tile.vector = V::lanes;
      tile.adds = side.adds;
      for (Size panel = 0; panel < panels.count; ++panel) {
        const Size width = panels.width(panel);
        tile.b_pair = 2 * width * V::lanes;
        for (Size j = 0; j < width; j += bfloat16_columns) {
          const Size column = (panels.first(panel) + j) * V::lanes;
          tile.b = packed_b[i] + 2 * (panels.begin(panel, blocks.all_pairs) + j * V::lanes);
          tile.valid = side.columns - column;
          const Size vectors = smaller(bfloat16_columns, width - j);
          const bool whole = tiled && tile.valid >= vectors * V::lanes;
          for (int t = 0; t < tiles.count; ++t) {
            if (whole && tiles.rows[t] == tile_side) {
              const bool both = t + 1 < tiles.count && tiles.rows[t + 1] == tile_side;
              outer_tiles(q, side, tile, tiles_of_a, tiles, t, both, column, vectors);
              t += both ? 1 : 0;
              continue;
            }
            for (Size row = 0, height = 0; row < tiles.rows[t]; row += height) {
              height = bfloat16_height(tiles.rows[t] - row);
              const Size offset = (tiles.in_c[t] + row) * side.c_row + column;
              tile.a = packed_a + 2 * (tiles.in_a[t] + row);
              tile.init = side.from == nullptr ? nullptr : side.from + offset;
              tile.c = side.c + offset;
              run_bfloat16_tile(height, vectors, tile);
            }
          }
        }
      }
    }
  }
  if (tiled) q.tiles->release();
}

template <class V>
void outer_product_by_type(const OuterProduct<typename V::Scalar>& q) {
  if constexpr (sizeof(typename V::Scalar) == sizeof(float)) {
    if (q.compute == Compute::bfloat16) return outer_bfloat16(q);
  }
  outer_product<V>(q);
}

}  // namespace
}  // namespace pyrnn
