// C (+)= Aᵀ B, summed over rows: the gradients of weights.
//
// Rows are taken a block at a time, and a block in parts. B is packed: a part of one of its panels
// stays in L1 while the columns of A pass by. Those are packed too if B has many panels to pass
// them by, else read where they are. C's columns of a panel wait in a buffer of their own: C may
// have any columns, and rows a power of two apart, of which a cache holds few.
#pragma once

#include <cstring>

#include "isa/gemm/product.hpp"

namespace pyrnn {
namespace {

constexpr Size outer_width = 3;      // vectors of a panel of B, at most
constexpr Size outer_block = 1024;   // rows of a block
constexpr Size outer_part = 128;     // and of a part, at most
constexpr Size outer_columns = 256;  // columns of A taken at a time, unless one panel has more
constexpr Size outer_direct = 6;     // panels of B up to which A is not packed

template <class V>
constexpr Size outer_tile_rows = smaller(tile_max_rows<V>(outer_width), V::lanes);

template <class V>
constexpr Size outer_strips =
    (outer_columns > max_slots * panel_vectors * V::lanes ? outer_columns
                                                          : max_slots * panel_vectors * V::lanes) /
    outer_tile_rows<V>;

// Where a packed strip of A or panel of B begins after another: a vector more than they have, as
// those that are pages apart would meet in the same sets of L1.
template <class V>
constexpr Size apart(Size numbers) {
  return numbers + V::lanes;
}

// B's columns in panels of nearly equal widths: a panel of one vector would be slow.
template <class V>
struct OuterPanels {
  Size vectors, count;

  explicit OuterPanels(Size columns)
      : vectors(quotient_up(columns, V::lanes)), count(quotient_up(vectors, outer_width)) {}

  Size first(Size panel) const { return vectors * panel / count; }
  // Whether columns of A are packed.
  bool packs() const { return count > outer_direct; }
  int width(Size panel) const { return static_cast<int>(first(panel + 1) - first(panel)); }
  // Where a panel of a packed part of so many rows begins.
  Size at(Size panel, Size rows) const { return (first(panel) * rows + panel) * V::lanes; }
};

// The numbers of packed B (in parts of a row at the worst), of packed A, and of C's columns of one
// panel of B.
template <class V>
struct OuterScratch {
  Size b, a, c;

  explicit OuterScratch(const OuterPanels<V>& panels) {
    constexpr Size strip = outer_tile_rows<V>;
    b = outer_block * (panels.vectors + panels.count) * V::lanes;
    a = panels.packs() ? outer_strips<V> * outer_block / outer_part * apart<V>(outer_part * strip)
                       : 0;
    c = outer_strips<V> * strip * outer_width * V::lanes;
  }
};

template <class V>
Size outer_scratch(Size columns) {
  const OuterScratch<V> scratch{OuterPanels<V>(columns)};
  return scratch.a + scratch.b + scratch.c;
}

// Rows that a micro-kernel can walk over: `outer` times `inner` of them, evenly apart.
struct RowRun {
  Size first, outer, inner, outer_step, inner_step;
  Size count() const { return outer * inner; }
};

// Takes rows out of groups.
struct RowCursor {
  const RowGroups* groups;
  Size group = 0, offset = 0;

  Size rows() const { return groups->rows[group]; }
  Size row() const { return groups->first[group] + offset; }
  bool at_end() const { return group == groups->count; }

  void advance(Size count) {
    for (offset += count; group < groups->count && offset >= rows(); ++group) offset -= rows();
  }

  // The next rows, which are not to be walked over.
  RowRun any(Size most) const {
    Size count = rows() - offset;
    for (Size next = group + 1; next < groups->count && count < most; ++next)
      count += groups->rows[next];
    return {row(), 1, smaller(count, most), 0, 0};
  }

  // The longest run that begins here, of at most `most` rows.
  RowRun run(Size most) const {
    const Size inner = smaller(rows() - offset, most);
    RowRun run{row(), 1, inner, 0, 1};
    if (offset > 0 || inner < rows()) return run;
    Size next = group + 1;
    if (next < groups->count && groups->rows[next] == inner)
      run.outer_step = groups->first[next] - run.first;
    for (; next < groups->count && (run.outer + 1) * inner <= most; ++next, ++run.outer) {
      if (groups->rows[next] != inner) break;
      if (groups->first[next] - groups->first[next - 1] != run.outer_step) break;
    }
    return inner > 1 ? run : RowRun{run.first, 1, run.outer, 0, run.outer_step};
  }
};

// `count` rows of B into panels (k, width * lanes); columns past the end are zeros.
template <class V>
inline void pack_outer_b(const OuterProduct<typename V::Scalar>& q, RowCursor& rows, Size count,
                         typename V::Scalar* packed) {
  const OuterPanels<V> panels(q.columns);
  for (Size k = 0; k < count; ++k) {
    const bool last = q.b_last != nullptr && rows.group + 1 == q.b_groups.count;
    const auto* source = last ? q.b_last + rows.row() * q.b_last_row : q.b + rows.row() * q.b_row;
    rows.advance(1);
    for (Size panel = 0; panel < panels.count; ++panel) {
      const Size first = panels.first(panel), width = panels.width(panel);
      auto* to = packed + panels.at(panel, count) + k * width * V::lanes;
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
  return {first, count, smaller(run, quotient_up(count, V::lanes) * V::lanes)};
}

// The strips of some panels of A, a tile's rows of C each: where they are in a row of A, and in C.
template <class V>
struct OuterStrips {
  int count = 0;
  Size from[outer_strips<V>], to[outer_strips<V>];
  int rows[outer_strips<V>];

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

// C's rows of all strips and columns of one panel of B: (strip, tile rows, width * lanes).
template <class V>
struct OuterSums {
  using T = typename V::Scalar;
  const OuterProduct<T>& q;
  const OuterStrips<V>& strips;
  const Size column;
  const int width;
  T* const sums;

  template <class Move>
  void each(const Move& move) const {
    const Size whole = smaller(width, (q.columns - column) / V::lanes);
    const Size rest = smaller(width * V::lanes, q.columns - column) - whole * V::lanes;
    for (int s = 0; s < strips.count; ++s) {
      for (int i = 0; i < strips.rows[s]; ++i) {
        T* const c = q.c + (strips.to[s] + i) * q.c_row + column;
        T* const sum = sums + (s * outer_tile_rows<V> + i) * width * V::lanes;
        for (Size j = 0; j < whole; ++j) move(c + j * V::lanes, sum + j * V::lanes, V::lanes);
        if (rest > 0) move(c + whole * V::lanes, sum + whole * V::lanes, rest);
      }
    }
  }
  void load() const {
    each([](T* c, T* sum, Size valid) { load_some<V>(c, valid).store(sum); });
  }
  void store() const {
    each([](T* c, T* sum, Size valid) { store_some<V>(V::load(sum), c, valid); });
  }
};

// A part of a block: rows of A where they are, or packed, and the same rows of B.
template <class T>
struct OuterPart {
  RowRun run;
  const T* a;  // packed, else null
  const T* b;
};

// `count` rows of A into its strips: (strip, k, tile rows); rows past the last are zeros.
template <class V>
inline void pack_outer_a(const OuterProduct<typename V::Scalar>& q, const OuterStrips<V>& strips,
                         RowCursor& rows, Size count, typename V::Scalar* packed) {
  constexpr Size strip = outer_tile_rows<V>;
  for (Size k = 0; k < count; ++k, rows.advance(1)) {
    const auto* source = q.a + rows.row() * q.a_row;
    auto* to = packed + k * strip;
    for (int s = 0; s < strips.count; ++s, to += apart<V>(count * strip)) {
      const auto* from = source + strips.from[s];
      if (strips.rows[s] == strip) {
        std::memcpy(to, from, strip * sizeof(*to));  // of a constant size: a vector
      } else {
        for (int i = 0; i < strip; ++i) to[i] = i < strips.rows[s] ? from[i] : 0;
      }
    }
  }
}

// One part onto the sums of one panel of B, which begin with it if it is the first: strips that
// follow each other evenly in one call.
template <class V>
inline void outer_tiles(const OuterSums<V>& sums, const OuterPart<typename V::Scalar>& part,
                        Size panel, bool first) {
  using T = typename V::Scalar;
  constexpr Size strip = outer_tile_rows<V>;
  constexpr Size line = 64 / static_cast<Size>(sizeof(T));
  alignas(64) static const T zeros[outer_width * V::lanes] = {};
  const OuterStrips<V>& strips = sums.strips;
  const RowRun& run = part.run;
  const bool packed = part.a != nullptr;
  const Size packed_strip = apart<V>(run.count() * strip);
  const T* const a = packed ? part.a : sums.q.a + run.first * sums.q.a_row;
  const auto offset = [&](int s) { return packed ? s * packed_strip : strips.from[s]; };
  Tile<T> tile{};
  tile.a_row = 1;
  tile.a_k = tile.ahead_step = packed ? strip : run.inner_step * sums.q.a_row;
  tile.a_outer = tile.ahead_outer = run.outer_step * sums.q.a_row;
  tile.a_tile = tile.ahead_tile = packed ? packed_strip : strip;
  tile.b = part.b + OuterPanels<V>(sums.q.columns).at(panel, run.count());
  tile.c_row = sums.width * V::lanes;
  tile.c_tile = strip * tile.c_row;
  tile.init_row = first ? 0 : tile.c_row;
  tile.init_tile = first ? 0 : tile.c_tile;
  tile.k_outer = packed ? 1 : run.outer;
  tile.k_inner = packed ? run.count() : run.inner;
  for (int s = 0, next = 0; s < strips.count; s = next) {
    const int rows = packed ? strip : strips.rows[s];
    for (next = s + 1; next < strips.count && rows == strip; ++next) {
      if (offset(next) != offset(next - 1) + tile.a_tile) break;
      if (!packed && strips.rows[next] != strip) break;
    }
    tile.a = a + offset(s);
    tile.ahead = tile.a + (packed ? packed_strip : line);
    tile.c = sums.sums + s * tile.c_tile;
    tile.init = first ? zeros : tile.c;
    tile.tiles = next - s;
    run_tile_rows<V>(rows, sums.width, tile);
  }
}

template <class V>
void outer_product(const OuterProduct<typename V::Scalar>& q) {
  using T = typename V::Scalar;
  const OuterPanels<V> b_panels(q.columns);
  const OuterScratch<V> scratch(b_panels);
  const bool packs = b_panels.packs();
  const Size panel_columns = (q.slot_end - q.slot_begin) * q.unit_vectors * V::lanes;
  const Size at_once = panel_columns < outer_columns ? outer_columns / panel_columns : 1;
  T* const packed_b = q.scratch;
  T* const packed_a = packed_b + scratch.b;
  T* const sums_at = packed_a + scratch.a;
  OuterPart<T> parts[outer_block];
  RowCursor rows{&q.a_groups}, b_rows{&q.b_groups};
  for (bool fresh = !q.accumulate; !rows.at_end(); fresh = false) {
    const RowCursor first_rows = rows;
    Size count = 0;
    T* b = packed_b;
    for (Size left = outer_block; left > 0 && !rows.at_end(); ++count) {
      const Size most = smaller(left, outer_part);
      const RowRun run = packs ? rows.any(most) : rows.run(most);
      parts[count] = {run, nullptr, b};
      pack_outer_b<V>(q, b_rows, run.count(), b);
      b += b_panels.at(b_panels.count, run.count());
      rows.advance(run.count());
      left -= run.count();
    }
    for (Size begin = q.panel_begin; begin < q.panel_end; begin += at_once) {
      const OuterStrips<V> strips(q, begin, smaller(begin + at_once, q.panel_end));
      RowCursor a_rows = first_rows;
      T* a = packed_a;
      for (Size part = 0; packs && part < count; ++part) {
        const Size part_rows = parts[part].run.count();
        parts[part].a = a;
        pack_outer_a<V>(q, strips, a_rows, part_rows, a);
        a += strips.count * apart<V>(part_rows * outer_tile_rows<V>);
      }
      for (Size panel = 0; panel < b_panels.count; ++panel) {
        const OuterSums<V> sums{q, strips, b_panels.first(panel) * V::lanes, b_panels.width(panel),
                                sums_at};
        if (!fresh) sums.load();
        for (Size part = 0; part < count; ++part)
          outer_tiles<V>(sums, parts[part], panel, fresh && part == 0);
        sums.store();
      }
    }
  }
}

// sums[j] (+)= sum over rows of a[row, j], for j in [begin, end)
template <class V>
void column_sums(const typename V::Scalar* a, Size a_row, RowGroups groups, Size begin, Size end,
                 bool accumulate, typename V::Scalar* sums) {
  constexpr Size block = 4 * V::lanes;
  for (Size column = begin; column < end; column += block) {
    const Size vectors = smaller(4, quotient_up(end - column, V::lanes));
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
