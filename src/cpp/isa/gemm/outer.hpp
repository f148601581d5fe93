// C (+)= Aᵀ B, summed over the rows of a block, for one A and some B's: the gradients of weights.
//
// All of the block's B is packed into panels, then some columns of A at a time, vector by vector,
// which serve the panels of every B. A tile's rows of C are the columns of a packed vector, or some
// of them, and it runs over all rows of the block: its sums stay in registers, and both sides
// are read from front to back. Where rows lie pages apart, reading them in place would miss the TLB
// at every k.
#pragma once

#include "isa/gemm/product.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

using tuning::outer_columns;
constexpr Size outer_width = tuning::outer_panel_vectors;

template <class V>
constexpr Size outer_tile_rows = smaller(tile_max_rows<V>(outer_width), V::lanes);

// Columns of A packed at a time, at most: of several slots, whole blocks.
template <class V>
constexpr Size outer_most = larger(outer_columns, larger(max_slots* block_units<typename V::Scalar>,
                                                         Size{panel_vectors} * V::lanes));

// From one packed vector of A or panel of B to the next: a vector more than they have, as those
// that are pages apart would meet in the same sets of L1.
template <class V>
constexpr Size apart(Size numbers) {
  return numbers + V::lanes;
}

// B's columns in panels of nearly equal widths: a panel of one vector would be slow.
template <class V>
struct OuterPanels {
  Size vectors, count, narrow, wider;  // `wider` panels have one more than `narrow` vectors

  explicit OuterPanels(Size columns)
      : vectors(quotient_up(columns, V::lanes)),
        count(larger(1, quotient_up(vectors, outer_width))),
        narrow(vectors / count),
        wider(vectors % count) {}

  Size first(Size panel) const { return panel * narrow + smaller(panel, wider); }
  int width(Size panel) const { return static_cast<int>(narrow + (panel < wider ? 1 : 0)); }
  // Where a panel of so many packed rows begins.
  Size begin(Size panel, Size rows) const { return (first(panel) * rows + panel) * V::lanes; }
  Size all(Size rows) const { return begin(count, rows); }
};

// Numbers that packed B's of so many columns take, and packed A.
template <class V>
Size outer_scratch(Size columns, Size other_columns) {
  return OuterPanels<V>(columns).all(sum_block) + OuterPanels<V>(other_columns).all(sum_block) +
         outer_most<V> / V::lanes * apart<V>(sum_block * V::lanes);
}

// Takes rows out of groups.
struct RowCursor {
  const RowGroups* groups;
  Size group = 0, offset = 0;

  Size row() const { return groups->first[group] + offset; }
  bool at_end() const { return group == groups->count; }
  // Rows from here on that lie together.
  Size together() const { return groups->rows[group] - offset; }

  void advance(Size count) {
    for (offset += count; group < groups->count && offset >= groups->rows[group]; ++group)
      offset -= groups->rows[group];
  }

  // How many are left, up to `most`.
  Size left(Size most) const {
    Size count = -offset;
    for (Size next = group; next < groups->count && count < most; ++next)
      count += groups->rows[next];
    return smaller(count, most);
  }
};

// Rows that lie together into (rows, width * lanes), of which `valid` columns are there.
template <class V>
inline void pack_rows_of_b(const typename V::Scalar* from, Size from_row, Size rows, Size width,
                           Size valid, typename V::Scalar* to) {
  for (; rows > 0; --rows, from += from_row, to += width * V::lanes)
    for (Size j = 0; j < width; ++j)
      load_some<V>(from + j * V::lanes, valid - j * V::lanes).store(to + j * V::lanes);
}

// `count` rows of B into panels (k, width * lanes); columns past the end are zeros.
template <class V>
inline void pack_outer_b(const OuterSide<typename V::Scalar>& side, RowCursor& rows, Size count,
                         typename V::Scalar* packed) {
  const OuterPanels<V> panels(side.columns);
  for (Size k = 0, taken = 0; k < count; k += taken, rows.advance(taken)) {
    const bool last = side.b_last != nullptr && rows.group + 1 == side.b_groups.count;
    taken = smaller(rows.together(), count - k);
    const auto* const matrix = last ? side.b_last : side.b;
    const Size row = last ? side.b_last_row : side.b_row;
    for (Size panel = 0; panel < panels.count; ++panel) {
      const Size column = panels.first(panel) * V::lanes, width = panels.width(panel);
      pack_rows_of_b<V>(matrix + rows.row() * row + column, row, taken, width,
                        side.columns - column,
                        packed + panels.begin(panel, count) + k * width * V::lanes);
    }
  }
}

// Columns of A that are packed together: those of some panels.
struct OuterColumns {
  Size panel_begin, panel_end;
  Size first, count;  // in a row

  template <class T>
  OuterColumns(const OuterProduct<T>& q, Size lanes, Size begin, Size end)
      : panel_begin(begin), panel_end(end) {
    const Size units = q.unit_vectors * lanes;
    first = begin * units * q.slots;
    // Rows of one slot may end with their last unit; of several, with whole blocks.
    const Size last = q.slots == 1 ? smaller(end * units, q.units)
                                   : quotient_up(end * units, block_units<T>) * block_units<T>;
    count = last * q.slots - first;
  }
};

// The columns of A that belong to one side, those of a tile at a time: where they are among the
// packed, and in C.
template <class V>
struct OuterTiles {
  static constexpr Size most = outer_most<V> / outer_tile_rows<V>;
  static_assert(V::lanes % outer_tile_rows<V> == 0,
                "no tile begins in one packed vector and ends in another");
  int count = 0;
  Size in_a[most], in_c[most];
  int rows[most];

  OuterTiles(const OuterProduct<typename V::Scalar>& q, const OuterSide<typename V::Scalar>& side,
             const OuterColumns& columns, Size tile_rows) {
    using T = typename V::Scalar;
    const Size panel_units = q.unit_vectors * V::lanes;
    for (Size panel = columns.panel_begin; panel < columns.panel_end; ++panel) {
      const Size first = panel * panel_units, units = smaller(panel_units, q.units - first);
      for (int slot = side.slot_begin; slot < side.slot_end; ++slot) {
        for (Size unit = 0; unit < units; unit += tile_rows) {
          in_a[count] =
              offset_in_row<T>(first, q.slots) + slot * block_units<T> + unit - columns.first;
          in_c[count] = q.gate_of_slot[slot] * q.units + first + unit;
          rows[count++] = static_cast<int>(smaller(tile_rows, units - unit));
        }
      }
    }
  }
};

// Where a column of A is among the packed, of so many rows.
template <class V>
inline Size packed_column(Size column, Size count) {
  return column / V::lanes * apart<V>(count * V::lanes) + column % V::lanes;
}

// `count` rows of A's columns, vector by vector: (vector, k, lanes).
template <class V>
inline void pack_outer_a(const OuterProduct<typename V::Scalar>& q, const OuterColumns& columns,
                         RowCursor rows, Size count, typename V::Scalar* packed) {
  using T = typename V::Scalar;
  constexpr Size line = 64 / static_cast<Size>(sizeof(T));
  RowCursor ahead = rows;
  ahead.advance(tuning::outer_rows_ahead);
  for (Size k = 0, taken = 0; k < count; k += taken, rows.advance(taken)) {
    const bool fetches = !ahead.at_end();
    taken = smaller(rows.together(), count - k);
    if (fetches) taken = smaller(taken, ahead.together());
    const T* from = q.a + rows.row() * q.a_row + columns.first;
    const T* next = fetches ? q.a + ahead.row() * q.a_row + columns.first : from;
    T* to = packed + k * V::lanes;
    for (Size r = 0; r < taken; ++r, from += q.a_row, next += q.a_row, to += V::lanes) {
      for (Size j = 0; j < columns.count; j += line) __builtin_prefetch(next + j);
      T* vector = to;
      for (Size j = 0; j < columns.count; j += V::lanes, vector += apart<V>(count * V::lanes))
        load_some<V>(from + j, columns.count - j).store(vector);
    }
    if (fetches) ahead.advance(taken);
  }
}

template <class T>
inline const char* as_bytes(const T* numbers) {
  return reinterpret_cast<const char*>(numbers);
}

// All tiles of one side onto one panel of its C.
template <class V>
inline void outer_panel(const OuterSide<typename V::Scalar>& side, const OuterTiles<V>& tiles,
                        Size panel, const typename V::Scalar* a, const typename V::Scalar* b,
                        Size count) {
  using T = typename V::Scalar;
  alignas(64) static const T zeros[outer_width * V::lanes] = {};
  const OuterPanels<V> panels(side.columns);
  const int width = panels.width(panel);
  const Size column = panels.first(panel) * V::lanes, valid = side.columns - column;
  Tile<T> tile{};
  tile.vector = V::lanes;
  tile.b = as_bytes(b + panels.begin(panel, count));
  tile.init_row = side.from == nullptr ? 0 : side.c_row;
  tile.c_row = side.c_row;
  tile.adds = side.adds;
  tile.k_outer = 1;
  tile.k_inner = count;
  // Each tile fetches some of the panel that comes next.
  tile.ahead = as_bytes(b + panels.begin((panel + 1) % panels.count, count));
  tile.ahead_step =
      quotient_up(width * V::lanes * static_cast<Size>(sizeof(T)), larger(1, tiles.count));
  const T* const read = side.adds ? side.c : side.from;
  for (int t = 0; t < tiles.count; ++t, tile.ahead += count * tile.ahead_step) {
    const Size offset = tiles.in_c[t] * side.c_row + column;
    tile.a = a + packed_column<V>(tiles.in_a[t], count);
    tile.c = side.c + offset;
    tile.init = side.from == nullptr ? zeros : side.from + offset;
    if (read != nullptr && t + 1 < tiles.count) {
      const T* const next = read + tiles.in_c[t + 1] * side.c_row + column;
      for (int i = 0; i < tiles.rows[t + 1]; ++i)
        for (int j = 0; j < width; ++j) __builtin_prefetch(next + i * side.c_row + j * V::lanes);
    }
    if (valid < width * V::lanes) {
      run_partial_tile<V, Layout::packed>(tiles.rows[t], width, valid, tile);
    } else {
      run_tile_rows<V, Layout::packed>(tiles.rows[t], width, tile);
    }
  }
}

// A side of few columns the other way round, which would leave most lanes idle: its columns are the
// rows of a tile, and a packed vector of A is the panel.
template <class V>
inline void outer_narrow(const OuterSide<typename V::Scalar>& side, const OuterTiles<V>& tiles,
                         const typename V::Scalar* a, const typename V::Scalar* b, Size count) {
  using T = typename V::Scalar;
  for (int t = 0; t < tiles.count; ++t) {
    T sums[V::lanes / 2 * V::lanes] = {};
    const auto each_number = [&](const auto& work) {
      for (int row = 0; row < tiles.rows[t]; ++row)
        for (Size i = 0; i < side.columns; ++i)
          work((tiles.in_c[t] + row) * side.c_row + i, sums[i * V::lanes + row]);
    };
    if (side.from != nullptr) each_number([&](Size offset, T& sum) { sum = side.from[offset]; });
    Tile<T> tile{};
    tile.vector = V::lanes;
    tile.a = b;
    tile.b = tile.ahead = as_bytes(a + packed_column<V>(tiles.in_a[t], count));
    tile.init = tile.c = sums;
    tile.init_row = tile.c_row = V::lanes;
    tile.k_outer = 1;
    tile.k_inner = count;
    run_tile_rows<V, Layout::packed>(static_cast<int>(side.columns), 1, tile);
    if (side.adds) {
      each_number([&](Size offset, T sum) { side.c[offset] += sum; });
    } else {
      each_number([&](Size offset, T sum) { side.c[offset] = sum; });
    }
  }
}

template <class V>
void outer_product(const OuterProduct<typename V::Scalar>& q) {
  using T = typename V::Scalar;
  // Of several slots, the panels of a block of units together.
  const Size least = q.slots == 1 ? 1 : block_vectors<V>;
  const Size panel_columns = q.slots * q.unit_vectors * V::lanes;
  const Size at_once = larger(1, outer_columns / (least * panel_columns)) * least;
  const RowCursor rows{&q.a_groups};
  const Size count = rows.left(sum_block);
  T* packed_b[max_outer_sides];
  T* packed_a = q.scratch;
  for (int i = 0; i < q.side_count; ++i) {
    RowCursor b_rows{&q.sides[i].b_groups};
    packed_b[i] = packed_a;
    packed_a += OuterPanels<V>(q.sides[i].columns).all(sum_block);
    pack_outer_b<V>(q.sides[i], b_rows, count, packed_b[i]);
  }
  for (Size begin = q.panel_begin; begin < q.panel_end; begin += at_once) {
    const OuterColumns columns(q, V::lanes, begin, smaller(begin + at_once, q.panel_end));
    pack_outer_a<V>(q, columns, rows, count, packed_a);
    for (int i = 0; i < q.side_count; ++i) {
      const OuterSide<T>& side = q.sides[i];
      const bool narrow = side.columns <= V::lanes / 2;
      const OuterTiles<V> tiles(q, side, columns, narrow ? V::lanes : outer_tile_rows<V>);
      if (narrow) {
        outer_narrow<V>(side, tiles, packed_a, packed_b[i], count);
        continue;
      }
      const Size panels = OuterPanels<V>(side.columns).count;
      for (Size panel = 0; panel < panels; ++panel)
        outer_panel<V>(side, tiles, panel, packed_a, packed_b[i], count);
    }
  }
}

// The sums of VECTORS vectors of columns, of which `valid` numbers are there.
template <class V, int VECTORS>
inline void sum_columns(const typename V::Scalar* a, Size a_row, RowGroups groups, Size valid,
                        bool accumulate, typename V::Scalar* sums) {
  const auto number = [&](int j) { return valid - j * V::lanes; };
  V total[VECTORS];
#pragma GCC unroll 16
  for (int j = 0; j < VECTORS; ++j)
    total[j] = accumulate ? load_some<V>(sums + j * V::lanes, number(j)) : V::zero();
  for (Size group = 0; group < groups.count; ++group) {
    const auto* row = a + groups.first[group] * a_row;
    for (Size r = 0; r < groups.rows[group]; ++r, row += a_row) {
#pragma GCC unroll 16
      for (int j = 0; j < VECTORS; ++j)
        total[j] =
            total[j] + (VECTORS == 1 ? load_some<V>(row, valid) : V::load(row + j * V::lanes));
    }
  }
#pragma GCC unroll 16
  for (int j = 0; j < VECTORS; ++j) store_some<V>(total[j], sums + j * V::lanes, number(j));
}

// sums[j] (+)= sum over rows of a[row, j], for j in [begin, end)
template <class V>
void column_sums(const typename V::Scalar* a, Size a_row, RowGroups groups, Size begin, Size end,
                 bool accumulate, typename V::Scalar* sums) {
  constexpr int wide = V::accumulators * 2 / 3, narrow = 4;
  for (Size column = begin; column < end;) {
    const Size valid = end - column;
    const int vectors = valid >= wide * V::lanes ? wide : valid >= narrow * V::lanes ? narrow : 1;
    const auto sum = vectors == wide     ? sum_columns<V, wide>
                     : vectors == narrow ? sum_columns<V, narrow>
                                         : sum_columns<V, 1>;
    sum(a + column, a_row, groups, valid, accumulate, sums + column);
    column += vectors * V::lanes;
  }
}

}  // namespace
}  // namespace pyrnn
