// C = init + A B for packed B: the loops around the micro-kernels.
//
// For each panel, a block of k is taken at a time, so that what the panel has of it stays in L1
// while the rows pass by. Splitting k leaves the chain of multiply-adds as it is: sums go on where
// they were.
#pragma once

#include <utility>

#include "isa/bfloat16/product.hpp"
#include "isa/gemm/int8_product.hpp"
#include "isa/gemm/tile.hpp"
#include "isa/simd/partial.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// Bytes of a panel that are taken at a time: those that stay in L1 beside the rows of A. On AVX2
// more, whose tiles ask L2 for so little that more and shorter sums cost more.
template <class V>
constexpr Size near_block = has_32_registers<V> ? tuning::near_block_bytes
                            : is_avx2<V>        ? tuning::near_block_bytes_avx2
                                                : tuning::near_block_bytes_16_registers;
// The same where the weights come from beyond L2. Tall tiles read a panel seldom enough for L2, and
// larger blocks leave more time to fetch the next. Nor do two of them need blocks at all.
template <class V>
constexpr Size block_from_afar = has_32_registers<V> ? tuning::far_block_bytes : near_block<V>;
template <class V>
constexpr Size tiles_without_blocks = has_32_registers<V> ? 2 : 1;

constexpr Size larger(Size a, Size b) { return a < b ? b : a; }

template <class V>
inline Tile<typename V::Scalar> tile_at(const Product<typename V::Scalar>& q, Size row,
                                        Size panel) {
  const Size vector_bytes = V::lanes * stored_bytes<typename V::Scalar>(q.storage);
  const Size b_panel = q.k_outer * q.k_inner * q.width * vector_bytes;
  const char* const b = static_cast<const char*>(q.b);
  const Size in_block = q.blocks ? panel % block_vectors<V> : 0;
  const Size block = q.blocks ? panel / block_vectors<V> : panel;
  const Size column = block * q.c_panel + in_block * V::lanes;
  return {q.a + row * q.a_row,
          q.a_row,
          q.a_outer,
          b + panel * b_panel,
          q.storage,
          b_panel,
          q.k_outer * q.k_inner * section_width<V>(static_cast<int>(q.width)) * vector_bytes,
          q.init + row * q.init_row + block * q.init_panel + in_block * V::lanes,
          q.init_row,
          q.init_panel,
          q.c + row * q.c_row + column,
          q.c_row,
          q.c_panel,
          q.blocks ? block_units<typename V::Scalar> : V::lanes,
          in_block,
          q.blocks,
          q.k_outer,
          q.k_inner,
          b,
          0,
          0,
          1,
          0,
          0,
          0,
          0,
          q.bias == nullptr ? nullptr : q.bias + column};
}

// A tile whose last vector ends past C's columns: it is computed in a buffer.
template <class V, Layout A = Layout::rows>
inline void run_partial_tile(int rows, int columns, Size valid, Tile<typename V::Scalar> tile) {
  using T = typename V::Scalar;
  constexpr int width = panel_vectors * V::lanes;
  T buffer[8 * width];
  T* const c = tile.c;
  const Size c_row = tile.c_row;
  for (int i = 0; i < rows; ++i) {
    for (Size j = 0; j < columns * V::lanes; j += V::lanes)
      V::load_partial(tile.init + i * tile.init_row + j,
                      valid - j < V::lanes ? (valid > j ? valid - j : 0) : V::lanes)
          .store(buffer + i * width + j);
  }
  tile.init = tile.c = buffer;
  tile.init_row = tile.c_row = width;
  const bool adds = tile.adds;
  tile.adds = false;
  run_tile_rows<V, A>(rows, columns, tile);
  for (int i = 0; i < rows; ++i) {
    for (Size j = 0; j < valid; j += V::lanes) {
      const Size count = smaller(valid - j, V::lanes);
      V sum = V::load(buffer + i * width + j);
      if (adds) sum = V::load_partial(c + i * c_row + j, count) + sum;
      sum.store_partial(c + i * c_row + j, count);
    }
  }
}

// Panels [begin, end) in tiles of several, of which a narrow last panel is not one: it goes with
// the others.
struct PanelTiles {
  Size begin, end, most, count;

  PanelTiles(Size first, Size last, Size most_panels, bool narrow)
      : begin(first), end(last), most(most_panels) {
    const Size whole = last - first - (narrow ? 1 : 0);
    // One tile takes no division, which small networks' steps would notice.
    count = whole > most ? quotient_up(whole, most) : last > first ? 1 : 0;
  }
  Size first(Size tile) const { return begin + tile * most; }
  Size last(Size tile) const { return tile + 1 == count ? end : first(tile + 1); }
};

// Calls work(begin, end) for each tile, or the other way round.
template <class Work>
inline void each_tile(const PanelTiles& tiles, bool last_first, const Work& work) {
  for (Size i = 0; i < tiles.count; ++i) {
    const Size tile = last_first ? tiles.count - 1 - i : i;
    work(tiles.first(tile), tiles.last(tile));
  }
}

// Whether the last of the panels before `end` is narrower than the others.
template <class T>
inline bool ends_narrow(const Product<T>& q, Size end) {
  return end * q.width > q.vectors;
}

// Tiles of one row onto the panels [begin, end): each fills the registers.
// But half of all where all are up to a few times what L1 holds: alternating directions then finds
// what was read last, while a single tile would be read from its start each time. Fewer sums are
// in flight then, which pays where loading a vector takes as long as the sums wait: those of a
// whole line.
template <class V>
inline PanelTiles tiles_of_row(const Product<typename V::Scalar>& q, Size begin, Size end) {
  constexpr Size vector_bytes = V::lanes * static_cast<Size>(sizeof(typename V::Scalar));
  const Size most = tile_max_panels<V>(static_cast<int>(q.width));
  const Size panels = q.panel_end - q.panel_begin;
  const Size bytes = panels * q.k_outer * q.k_inner * q.width * V::lanes *
                     stored_bytes<typename V::Scalar>(q.storage);
  const bool halve =
      vector_bytes == 64 && bytes > tuning::l1_weights && bytes <= tuning::few_times_l1;
  return {begin, end, halve ? smaller(most / 2, quotient_up(panels, 2)) : most,
          ends_narrow(q, end)};
}

// Whether a product was one of operands of another type, which is done then.
template <class T>
inline bool did_other_product(const Product<T>& q, Size panel_begin, Size panel_end) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (is_int8(q.storage)) {
      int8_product(q, panel_begin, panel_end);
      return true;
    }
    if (q.storage == Storage::bfloat16_pairs) {
      bfloat16_product(q, panel_begin, panel_end);
      return true;
    }
  }
  return false;
}

// One row onto the panels of a tile.
template <class V>
inline void product_of_one_row(const Product<typename V::Scalar>& q, Size begin, Size end) {
  if (did_other_product(q, begin, end)) return;
  const int tail = ends_narrow(q, end) ? static_cast<int>(q.vectors - (end - 1) * q.width) : 0;
  const Size whole = end - begin - (tail > 0 ? 1 : 0);
  run_tile_panels<V>(static_cast<int>(q.width), static_cast<int>(whole), tail,
                     tile_at<V>(q, 0, begin));
}

// Rows in tiles of nearly equal heights: `taller` of them have a row more than `height`. Counted up
// and down, as divisions are what small networks' steps would notice.
struct RowTiles {
  Size count = 1, height, taller;

  RowTiles(Size rows, Size most) : height(smaller(rows, most)) {
    while (count * most < rows) ++count;
    while (count * height > rows) --height;
    taller = rows - count * height;
  }
};

// Where a tile reads and writes.
template <class T>
struct TilePointers {
  const T* a;
  const T* init;
  T* c;
  const char* ahead;
};

// All rows of one group onto a span of k of a panel, from `from` on, which moves past them.
// The tile is not copied: the processor would have to wait for what was just written to it.
template <class V>
inline void run_tiles(const RowTiles& rows, int columns, TilePointers<typename V::Scalar> from,
                      Tile<typename V::Scalar>& tile) {
  for (Size done = 0; done < rows.count; done += tile.tiles) {
    const bool taller = done < rows.taller;
    const Size height = rows.height + (taller ? 1 : 0);
    tile.tiles = taller ? rows.taller : rows.count - rows.taller;
    tile.a_tile = height * tile.a_row;
    tile.init_tile = height * tile.init_row;
    tile.c_tile = height * tile.c_row;
    tile.a = from.a;
    tile.init = from.init;
    tile.c = from.c;
    tile.ahead = from.ahead;
    run_tile_rows<V>(static_cast<int>(height), columns, tile);
    from.a += tile.tiles * tile.a_tile;
    from.init += tile.tiles * tile.init_tile;
    from.c += tile.tiles * tile.c_tile;
    from.ahead += tile.tiles * tile.ahead_tile;
  }
}

// k in nearly equal blocks: of whole spans where there are several, else within the one.
template <class V>
struct KBlocks {
  bool by_outer, all_near;  // whether all panels stay where a block does
  Size all, block;

  KBlocks(const Product<typename V::Scalar>& q, Size k_stride, Size tiles)
      : by_outer(q.k_outer > 1), all(by_outer ? q.k_outer : q.k_inner) {
    const Size number = stored_bytes<typename V::Scalar>(q.storage);
    const Size k_total = q.k_outer * q.k_inner;
    const Size all_bytes = q.vectors * V::lanes * k_total * number;
    all_near = all_bytes <= near_block<V>;
    const Size limit = all_bytes <= tuning::l2_weights ? near_block<V> : block_from_afar<V>;
    const Size bytes = k_total * k_stride * number;
    block = tiles <= tiles_without_blocks<V> || bytes <= limit
                ? all
                : quotient_up(all, quotient_up(bytes, limit));
  }
};

// Rows of a tile, at most. Tall tiles, which read the sections of a panel one by one, pay where a
// panel is long beside the rows that pass by.
template <class V>
inline Size rows_of_tile(const Product<typename V::Scalar>& q, int columns, Size rows) {
  const bool tall = q.k_outer * q.k_inner >= tuning::tall_tile_k * rows;
  return tall ? tile_max_rows<V>(columns) : smaller(V::accumulators / columns, 8);
}

// Rows [row_begin, row_end) of `groups` groups from `first_group` on, onto one panel.
template <class V>
inline void product_of_panel(const Product<typename V::Scalar>& q, Size row_begin, Size row_end,
                             Size first_group, Size groups, Size panel) {
  using T = typename V::Scalar;
  const int columns = static_cast<int>(smaller(q.width, q.vectors - panel * q.width));
  const Size valid = q.columns - panel * q.width * V::lanes;
  const Size most = rows_of_tile<V>(q, columns, (row_end - row_begin) * groups);
  if (valid < columns * V::lanes) {
    for (Size group = first_group; group < first_group + groups; ++group) {
      for (Size row = row_begin; row < row_end; row += most) {
        Tile<T> tile = tile_at<V>(q, row, panel);
        tile.a += group * q.a_group;
        tile.c += group * q.c_group;
        tile.init += group * q.init_group;
        run_partial_tile<V>(static_cast<int>(smaller(most, row_end - row)), columns, valid, tile);
      }
    }
    return;
  }
  const RowTiles rows(row_end - row_begin, most);
  const Size vector_bytes = V::lanes * stored_bytes<T>(q.storage);
  const Size section_stride = section_width<V>(columns) * vector_bytes, tiles = rows.count * groups;
  const KBlocks<V> k(q, columns * V::lanes, tiles);
  Tile<T> tile = tile_at<V>(q, row_begin, panel);
  TilePointers<T> from{tile.a + first_group * q.a_group, tile.init + first_group * q.init_group,
                       tile.c + first_group * q.c_group, tile.b};
  const char* const next_panel =
      tile_at<V>(q, 0, q.last_first ? panel - smaller(panel, 1) : panel + 1).b;
  // Each tile fetches some of the next block: rounded up, as what is left out of it would be
  // waited for.
  const bool by_section = rows.height * columns > V::accumulators;
  tile.ahead_step = tiles > 1 && !k.all_near
                        ? quotient_up(by_section ? section_stride : columns * vector_bytes, tiles)
                        : 0;
  Size init_group = q.init_group;
  const T* const bias = tile.bias;
  for (Size left = k.all; left > 0;) {
    const Size count = smaller(k.block, left);
    const Size block = count * (k.by_outer ? q.k_inner : 1) * section_stride;
    (k.by_outer ? tile.k_outer : tile.k_inner) = count;
    left -= count;
    tile.bias = left > 0 ? nullptr : bias;
    from.ahead = left > 0 ? tile.b + block : next_panel;
    tile.ahead_outer = tile.k_inner * tile.ahead_step;
    tile.ahead_tile = tile.k_outer * tile.ahead_outer;
    for (Size group = 0; group < groups; ++group)
      run_tiles<V>(rows, columns,
                   {from.a + group * q.a_group, from.init + group * init_group,
                    from.c + group * q.c_group, from.ahead + group * rows.count * tile.ahead_tile},
                   tile);
    from.a += count * (k.by_outer ? q.a_outer : 1);
    tile.b += block;
    from.init = from.c;
    tile.init_row = tile.c_row;
    init_group = q.c_group;
  }
}

// Onto the panels [panel_begin, panel_end) instead of the record's own: a copy of a record with
// others would have to wait for what was just written to it.
template <class V>
void product_of_panels(const Product<typename V::Scalar>& q, Size panel_begin, Size panel_end) {
  if (did_other_product(q, panel_begin, panel_end)) return;
  const bool partial =
      panel_end * q.width * V::lanes > q.columns && q.vectors * V::lanes > q.columns;
  if (q.rows == 1 && q.groups == 1 && !partial)
    return each_tile(tiles_of_row<V>(q, panel_begin, panel_end), q.last_first,
                     [&](Size begin, Size end) { product_of_one_row<V>(q, begin, end); });
  if (q.groups > q.rows) {
    // Rows of different groups make fuller tiles.
    Product<typename V::Scalar> other = q;
    std::swap(other.rows, other.groups);
    std::swap(other.a_row, other.a_group);
    std::swap(other.c_row, other.c_group);
    std::swap(other.init_row, other.init_group);
    return product_of_panels<V>(other, panel_begin, panel_end);
  }
  const bool one_block = q.rows <= tuning::rows_of_block;
  const Size rows =
      one_block ? q.rows : quotient_up(q.rows, quotient_up(q.rows, tuning::rows_of_block));
  const Size at_once =
      q.groups > 1 ? smaller(q.groups, quotient_up(tuning::rows_of_block, rows)) : 1;
  for (Size group = 0; group < q.groups; group += at_once) {
    const Size groups = smaller(at_once, q.groups - group);
    for (Size row = 0; row < q.rows; row += rows) {
      const PanelTiles panels(panel_begin, panel_end, 1, false);
      each_tile(panels, q.last_first, [&](Size panel, Size) {
        product_of_panel<V>(q, row, smaller(row + rows, q.rows), group, groups, panel);
      });
    }
  }
}

template <class V>
void product(const Product<typename V::Scalar>& q) {
  product_of_panels<V>(q, q.panel_begin, q.panel_end);
}

}  // namespace
}  // namespace pyrnn
