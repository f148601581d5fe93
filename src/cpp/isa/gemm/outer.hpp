// C (+)= Aᵀ B, summed over rows: the gradients of weights.
//
// Both operands are packed a block of rows at a time; B once, A some panels at a time, so that its
// rows are read in stretches long enough for the processor to see them coming. A block is taken in
// parts: a part of one of B's panels stays in L1 for all strips of A, while C's tiles go to and
// from memory once a block.
#pragma once

#include <cstring>

#include "isa/gemm/product.hpp"

namespace pyrnn {
namespace {

constexpr Size outer_width = 3;      // vectors of a panel of B, at most
constexpr Size outer_block = 512;    // rows packed at a time
constexpr Size outer_part = 128;     // rows of a part
constexpr Size outer_columns = 512;  // columns of A packed at a time, unless one panel has more

template <class V>
constexpr Size outer_tile_rows = smaller(tile_max_rows<V>(outer_width), V::lanes);

template <class V>
Size outer_scratch(Size columns) {
  const Size vectors = (columns + V::lanes - 1) / V::lanes;
  return outer_block * (vectors * V::lanes + outer_columns + max_slots * panel_vectors * V::lanes);
}

// Walks over the rows of groups.
struct RowCursor {
  const RowGroups* groups;
  Size group, offset;

  Size next() {
    while (offset == groups->rows[group]) {
      ++group;
      offset = 0;
    }
    return groups->first[group] + offset++;
  }
};

// B's columns in panels of nearly equal widths: a panel of one vector would be slow.
template <class V>
struct OuterPanels {
  Size vectors, count;

  explicit OuterPanels(Size columns)
      : vectors((columns + V::lanes - 1) / V::lanes),
        count((vectors + outer_width - 1) / outer_width) {}

  Size first(Size panel) const { return vectors * panel / count; }
  int width(Size panel) const { return static_cast<int>(first(panel + 1) - first(panel)); }
};

// `count` rows of B into panels (k, width * lanes); columns past the end are zeros.
template <class V>
inline void pack_outer_b(const OuterProduct<typename V::Scalar>& q, RowCursor& rows, Size count,
                         typename V::Scalar* packed) {
  const OuterPanels<V> panels(q.columns);
  for (Size k = 0; k < count; ++k) {
    const auto* source = q.b + rows.next() * q.b_row;
    for (Size panel = 0; panel < panels.count; ++panel) {
      const Size first = panels.first(panel), width = panels.width(panel);
      auto* to = packed + (first * count + k * width) * V::lanes;
      for (Size j = 0; j < width; ++j) {
        const Size column = (first + j) * V::lanes;
        load_some<V>(source + column, q.columns - column).store(to + j * V::lanes);
      }
    }
  }
}

// The units of one panel of A.
struct OuterUnits {
  Size first, count, lanes;  // lanes: from slot to slot
};

template <class V>
inline OuterUnits outer_units(const OuterProduct<typename V::Scalar>& q, Size panel) {
  const Size run = q.unit_vectors * V::lanes;
  const Size first = panel * run;
  const Size count = smaller(run, q.units - first);
  // The last panel of a cell of one slot may be narrower than a run.
  return {first, count, smaller(run, (count + V::lanes - 1) / V::lanes * V::lanes)};
}

// The strips of some panels of A, a tile's rows each: where they are in a row of A, and in C.
template <class V>
struct OuterStrips {
  static constexpr int most =
      static_cast<int>((outer_columns + max_slots * panel_vectors * V::lanes) / outer_tile_rows<V>);
  int count = 0;
  Size from[most], to[most];
  int rows[most];

  OuterStrips(const OuterProduct<typename V::Scalar>& q, Size panel_begin, Size panel_end) {
    constexpr Size strip = outer_tile_rows<V>;
    for (Size panel = panel_begin; panel < panel_end; ++panel) {
      const OuterUnits units = outer_units<V>(q, panel);
      for (int slot = q.slot_begin; slot < q.slot_end; ++slot) {
        for (Size m = 0; m < units.count; m += strip) {
          from[count] = units.first * q.slots + slot * units.lanes + m;
          to[count] = q.gate_of_slot[slot] * q.units + units.first + m;
          rows[count++] = static_cast<int>(smaller(strip, units.count - m));
        }
      }
    }
  }
};

// `count` rows of A into its strips: (strip, k, tile rows).
template <class V>
inline void pack_outer_a(const OuterProduct<typename V::Scalar>& q, const OuterStrips<V>& strips,
                         RowCursor& rows, Size count, typename V::Scalar* packed) {
  constexpr Size strip = outer_tile_rows<V>;
  for (Size k = 0; k < count; ++k) {
    const auto* source = q.a + rows.next() * q.a_row;
    auto* to = packed + k * strip;
    for (int s = 0; s < strips.count; ++s, to += count * strip) {
      const auto* from = source + strips.from[s];
      if (strips.rows[s] == strip) {
        std::memcpy(to, from, strip * sizeof(*to));  // of a constant size: a vector
      } else {
        for (int i = 0; i < strips.rows[s]; ++i) to[i] = from[i];
      }
    }
  }
}

// One part of a block onto the tiles of some strips of A and one panel of B.
template <class V>
inline void outer_tiles(const OuterProduct<typename V::Scalar>& q, const OuterStrips<V>& strips,
                        Size b_panel, const typename V::Scalar* packed_a,
                        const typename V::Scalar* packed_b, Size count, bool fresh) {
  using T = typename V::Scalar;
  constexpr Size strip = outer_tile_rows<V>;
  alignas(64) static const T zeros[outer_width * V::lanes] = {};
  const OuterPanels<V> panels(q.columns);
  const int width = panels.width(b_panel);
  const Size column = panels.first(b_panel) * V::lanes;
  const Size valid = q.columns - column;
  Tile<T> tile{};
  tile.a_row = 1;
  tile.a_k = strip;
  tile.b = packed_b + column * count;
  tile.ahead_step = strip;
  tile.c_row = q.c_row;
  tile.init_row = fresh ? 0 : q.c_row;
  tile.k_outer = 1;
  tile.k_inner = count;
  for (int s = 0; s < strips.count; ++s) {
    tile.a = packed_a + s * count * strip;
    tile.ahead = tile.a + count * strip;
    tile.c = q.c + strips.to[s] * q.c_row + column;
    tile.init = fresh ? zeros : tile.c;
    if (s + 1 < strips.count) {
      const T* const next = q.c + strips.to[s + 1] * q.c_row + column;
      for (int i = 0; i < strips.rows[s + 1]; ++i) {
        for (int j = 0; j <= width; ++j)
          __builtin_prefetch(next + i * q.c_row + smaller(j * V::lanes, valid - 1), 1);
      }
    }
    if (valid < width * V::lanes) {
      run_partial_tile<V>(strips.rows[s], width, valid, tile);
    } else {
      run_tile_rows<V>(strips.rows[s], width, tile);
    }
  }
}

template <class V>
void outer_product(const OuterProduct<typename V::Scalar>& q) {
  using T = typename V::Scalar;
  const OuterPanels<V> b_panels(q.columns);
  const Size panel_columns = (q.slot_end - q.slot_begin) * q.unit_vectors * V::lanes;
  const Size at_once = panel_columns < outer_columns ? outer_columns / panel_columns : 1;
  const Size b_part = outer_part * b_panels.vectors * V::lanes;
  T* const packed_b = q.scratch;
  T* const packed_a = q.scratch + outer_block * b_panels.vectors * V::lanes;
  RowCursor a_rows{&q.a_groups, 0, 0}, b_rows{&q.b_groups, 0, 0};
  Size left = 0;
  for (Size group = 0; group < q.a_groups.count; ++group) left += q.a_groups.rows[group];
  for (bool first = !q.accumulate; left > 0; first = false) {
    const Size block = smaller(outer_block, left);
    for (Size row = 0; row < block; row += outer_part)
      pack_outer_b<V>(q, b_rows, smaller(outer_part, block - row),
                      packed_b + row / outer_part * b_part);
    RowCursor next_rows = a_rows;
    for (Size begin = q.panel_begin; begin < q.panel_end; begin += at_once) {
      const OuterStrips<V> strips(q, begin, smaller(begin + at_once, q.panel_end));
      const Size a_part = outer_part * strips.count * outer_tile_rows<V>;
      next_rows = a_rows;
      for (Size row = 0; row < block; row += outer_part)
        pack_outer_a<V>(q, strips, next_rows, smaller(outer_part, block - row),
                        packed_a + row / outer_part * a_part);
      for (Size b_panel = 0; b_panel < b_panels.count; ++b_panel) {
        for (Size row = 0; row < block; row += outer_part)
          outer_tiles<V>(q, strips, b_panel, packed_a + row / outer_part * a_part,
                         packed_b + row / outer_part * b_part, smaller(outer_part, block - row),
                         first && row == 0);
      }
    }
    a_rows = next_rows;
    left -= block;
  }
}

// sums[j] (+)= sum over rows of a[row, j], for j in [begin, end)
template <class V>
void column_sums(const typename V::Scalar* a, Size a_row, RowGroups groups, Size begin, Size end,
                 bool accumulate, typename V::Scalar* sums) {
  constexpr Size block = 4 * V::lanes;
  for (Size column = begin; column < end; column += block) {
    const Size vectors = smaller(4, (end - column + V::lanes - 1) / V::lanes);
    V total[4];
    for (Size j = 0; j < vectors; ++j)
      total[j] = accumulate
                     ? load_some<V>(sums + column + j * V::lanes, end - column - j * V::lanes)
                     : V::zero();
    for (Size group = 0; group < groups.count; ++group) {
      const auto* row = a + groups.first[group] * a_row + column;
      for (Size r = 0; r < groups.rows[group]; ++r, row += a_row) {
        if (end - column >= block) {
#pragma GCC unroll 4
          for (Size j = 0; j < 4; ++j) total[j] = total[j] + V::load(row + j * V::lanes);
        } else {
          for (Size j = 0; j < vectors; ++j)
            total[j] = total[j] + load_some<V>(row + j * V::lanes, end - column - j * V::lanes);
        }
      }
    }
    for (Size j = 0; j < vectors; ++j)
      store_some<V>(total[j], sums + column + j * V::lanes, end - column - j * V::lanes);
  }
}

}  // namespace
}  // namespace pyrnn
