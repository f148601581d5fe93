// The sums of outer.hpp on tiles of bfloat16 (AMX): each float32 is the sum of three, its thirds,
// and of the nine products of two such sums the six largest count; the others are below 2^-24 of
// the whole.
//
// How a sum is rounded depends on which rows a tile takes at once, which must not depend on how a
// sequence is cut. So tiles take rows of one group (a time step) alone: a chunk of 32, and what is
// left as half a chunk of up to 16, or filled up with zeros. Half a chunk has two of its thirds
// side by side in a tile, so that no part of it is idle.
#pragma once

#include "isa/gemm/outer.hpp"
#include "isa/gemm/transpose.hpp"
#include "isa/simd/amx.hpp"

namespace pyrnn {
namespace {

constexpr Size amx_chunks = 16;  // packed at once
constexpr Size half_chunk = tile_depth / 2;
constexpr Size chunk_bytes = third_count * tile_bytes;  // of 16 columns
constexpr Size strip_bytes = amx_chunks * chunk_bytes;  // the same of all chunks

constexpr Size strips_of(Size columns) { return quotient_up(columns, tile_side); }

// Columns of A packed at once, for so many strips of B: all of these are read for each time, which
// takes long from beyond L2. No panel has more.
constexpr Size columns_at_once(Size b_strips) {
  return b_strips * strip_bytes > l2_weights ? 256 : 128;
}
static_assert(outer_most<VectorF> <= columns_at_once(0));
static_assert(columns_at_once(l2_weights) <= OuterTiles<VectorF>::most * tile_side);

// Whether tiles are quicker for groups of so many rows: a chunk takes as long as some 25 rows do
// without them, half a chunk as 16.
constexpr bool pays_on_tiles(Size rows) {
  const Size left = rows % tile_depth;
  return rows / tile_depth * 25 + (left == 0 ? 0 : left <= half_chunk ? 16 : 25) <= rows;
}

// Rows of a group that a tile takes at once.
struct Chunk {
  Size group, offset, rows;

  bool half() const { return rows <= half_chunk; }
};

struct Chunks {
  Size count = 0;
  Chunk chunk[amx_chunks];
  unsigned halves = 0;  // a bit for each chunk

  // The next ones, as many as are packed at once.
  explicit Chunks(RowCursor& rows) {
    for (; count < amx_chunks && !rows.at_end(); ++count) {
      chunk[count] = {rows.group, rows.offset, smaller(tile_depth, rows.run())};
      if (chunk[count].half()) halves |= 1u << count;
      rows.advance(chunk[count].rows);
    }
  }
};

// Rows of a matrix that pair off with a chunk.
inline const float* rows_of(const Chunk& chunk, RowGroups groups, const float* matrix, Size row) {
  return matrix + (groups.first[chunk.group] + chunk.offset) * row;
}

// 16 columns of a chunk of B, of which `valid` are there, into tiles of (pair of rows, column):
// each third, or two tiles of two thirds.
inline void pack_right(const Chunk& chunk, const float* from, Size from_row, Size valid, char* to) {
  const auto row = [&](Size k) {
    return Thirds(k < chunk.rows ? load_some<VectorF>(from + k * from_row, valid)
                                 : VectorF::zero());
  };
  for (Size k = 0; k < (chunk.half() ? half_chunk : tile_depth); k += 2, to += tile_row) {
    const Thirds even = row(k), odd = row(k + 1);
    const auto store = [&](int third, Size at) {
      store_right(even.part[third], odd.part[third], to + at);
    };
    constexpr Size lower_half = tile_bytes / 2;
    store(0, 0);
    store(1, chunk.half() ? lower_half : tile_bytes);
    store(2, chunk.half() ? tile_bytes : 2 * tile_bytes);
    if (chunk.half()) store(0, tile_bytes + lower_half);
  }
}

// 16 columns of a chunk of A, of which `valid` are there, into tiles of (column, row): each third,
// or three tiles of two thirds.
inline void pack_left(const Chunk& chunk, const float* from, Size from_row, Size valid, char* to) {
  alignas(64) float columns[2][tile_side * tile_side];
  for (Size half = 0; half < (chunk.half() ? 1 : 2); ++half) {
    const Size first = half * tile_side;
    transpose<VectorF>(from + first * from_row, from_row, chunk.rows - first,
                       smaller(valid, tile_side), columns[half], tile_side);
  }
  for (Size column = 0; column < tile_side; ++column, to += tile_row) {
    const auto thirds = [&](Size half) {
      return Thirds(column < valid ? VectorF::load(columns[half] + column * tile_side)
                                   : VectorF::zero());
    };
    const Thirds first = thirds(0);
    if (chunk.half()) {
      store_left(first.part[0], first.part[1], to);
      store_left(first.part[1], first.part[0], to + tile_bytes);
      store_left(first.part[0], first.part[2], to + 2 * tile_bytes);
    } else {
      const Thirds second = thirds(1);
      for (int third = 0; third < third_count; ++third)
        store_left(first.part[third], second.part[third], to + third * tile_bytes);
    }
  }
}

// ROWS x COLUMNS tiles of sums over all chunks; strips of A lie `a_apart` bytes apart.
template <int ROWS, int COLUMNS>
inline void add_chunks(Size count, unsigned halves, const char* a, Size a_apart, const char* b) {
  const auto load_a = [&](Size tile) { load_left<ROWS>(a + tile * tile_bytes, a_apart); };
  const auto load_b = [&](Size tile) { load_right<COLUMNS>(b + tile * tile_bytes, strip_bytes); };
  for (; count > 0; --count, halves >>= 1, a += chunk_bytes, b += chunk_bytes) {
    if ((halves & 1) != 0) {
      load_b(0);
      load_a(1);
      multiply_tiles<ROWS, COLUMNS>();
      load_a(0);
      multiply_tiles<ROWS, COLUMNS>();
      load_a(2);
      load_b(1);
      multiply_tiles<ROWS, COLUMNS>();
    } else {
      load_b(0);
      load_a(2);
      multiply_tiles<ROWS, COLUMNS>();
      load_a(1);
      multiply_tiles<ROWS, COLUMNS>();
      load_b(1);
      multiply_tiles<ROWS, COLUMNS>();
      load_a(0);
      multiply_tiles<ROWS, COLUMNS>();
      load_b(2);
      multiply_tiles<ROWS, COLUMNS>();
      load_b(0);
      multiply_tiles<ROWS, COLUMNS>();
    }
  }
}

// One or two strips of packed A times one or two of packed B, onto C or, if `fresh`, in its place.
struct TileSums {
  const Chunks* chunks;
  const char* a[2];
  const char* b;
  float* c[2];  // where a strip of A has its rows
  Size c_row;
  int rows[2];   // of a strip that are there
  Size columns;  // from here on
  bool fresh;
};

template <int ROWS, int COLUMNS>
inline void add_tile_sums(const TileSums& q) {
  constexpr Size width = COLUMNS * tile_side;
  alignas(64) float buffer[ROWS][tile_side * width];
  const bool whole = q.columns >= width && q.rows[0] == tile_side && q.rows[ROWS - 1] == tile_side;
  float* const c[2] = {whole ? q.c[0] : buffer[0], whole ? q.c[ROWS - 1] : buffer[ROWS - 1]};
  const Size row_bytes = (whole ? q.c_row : width) * static_cast<Size>(sizeof(float));
  const auto each_number = [&](const auto& work) {
    for (int i = 0; i < ROWS; ++i)
      for (int row = 0; row < q.rows[i]; ++row)
        for (Size j = 0; j < smaller(width, q.columns); ++j)
          work(q.c[i][row * q.c_row + j], buffer[i][row * width + j]);
  };
  if (!whole && !q.fresh) each_number([](float& in_c, float& sum) { sum = in_c; });
  tile_barrier();
  if (q.fresh) {
    zero_sums<ROWS, COLUMNS>();
  } else {
    load_sums<ROWS, COLUMNS>(c, row_bytes);
  }
  add_chunks<ROWS, COLUMNS>(q.chunks->count, q.chunks->halves, q.a[0], q.a[ROWS - 1] - q.a[0], q.b);
  store_sums<ROWS, COLUMNS>(c, row_bytes);
  tile_barrier();
  if (!whole) each_number([](float& in_c, float& sum) { in_c = sum; });
}

inline void run_tile_sums(int rows, int columns, const TileSums& q) {
  if (rows == 2) {
    (columns == 2 ? add_tile_sums<2, 2> : add_tile_sums<2, 1>)(q);
  } else {
    (columns == 2 ? add_tile_sums<1, 2> : add_tile_sums<1, 1>)(q);
  }
}

// One side's tiles, which are columns of packed A, times all of its packed B.
inline void add_side(const OuterSide<float>& side, const OuterTiles<VectorF>& tiles,
                     const Chunks& chunks, const char* a, const char* b, bool fresh) {
  TileSums q{};
  q.chunks = &chunks;
  q.c_row = side.c_row;
  q.fresh = fresh;
  for (Size column = 0; column < side.columns; column += 2 * tile_side) {
    q.columns = side.columns - column;
    q.b = b + column / tile_side * strip_bytes;
    for (int t = 0; t < tiles.count; t += 2) {
      const int rows = t + 1 < tiles.count ? 2 : 1;
      for (int i = 0; i < rows; ++i) {
        q.a[i] = a + tiles.at[t + i] / tile_side * strip_bytes;
        q.c[i] = side.c + tiles.to[t + i] * side.c_row + column;
        q.rows[i] = tiles.rows[t + i];
      }
      run_tile_sums(rows, q.columns > tile_side ? 2 : 1, q);
    }
  }
}

inline void pack_side(const OuterSide<float>& side, const Chunks& chunks, char* packed) {
  for (Size c = 0; c < chunks.count; ++c, packed += chunk_bytes) {
    const Chunk& chunk = chunks.chunk[c];
    const bool last = side.b_last != nullptr && chunk.group + 1 == side.b_groups.count;
    const Size row = last ? side.b_last_row : side.b_row;
    const float* const from = rows_of(chunk, side.b_groups, last ? side.b_last : side.b, row);
    for (Size column = 0; column < side.columns; column += tile_side)
      pack_right(chunk, from + column, row, side.columns - column,
                 packed + column / tile_side * strip_bytes);
  }
}

inline void pack_columns(const OuterProduct<float>& q, const OuterColumns& columns,
                         const Chunks& chunks, char* packed) {
  for (Size c = 0; c < chunks.count; ++c, packed += chunk_bytes) {
    const Chunk& chunk = chunks.chunk[c];
    const float* const from = rows_of(chunk, q.a_groups, q.a, q.a_row) + columns.first;
    for (Size column = 0; column < columns.count; column += tile_side)
      pack_left(chunk, from + column, q.a_row, columns.count - column,
                packed + column / tile_side * strip_bytes);
  }
}

// Groups for all of which tiles are quicker.
inline void outer_on_tiles(const OuterProduct<float>& q) {
  begin_tiles();
  Size b_strips = 0;
  char* packed_b[max_outer_sides];
  char* packed_a = reinterpret_cast<char*>(q.scratch);
  for (int i = 0; i < q.side_count; ++i) {
    packed_b[i] = packed_a + b_strips * strip_bytes;
    b_strips += strips_of(q.sides[i].columns);
  }
  packed_a += b_strips * strip_bytes;
  const Size at_once = columns_at_once(b_strips) / (q.slots * q.unit_vectors * VectorF::lanes);
  RowCursor rows{&q.a_groups};
  for (bool fresh = !q.accumulate; !rows.at_end(); fresh = false) {
    const Chunks chunks(rows);
    for (int i = 0; i < q.side_count; ++i) pack_side(q.sides[i], chunks, packed_b[i]);
    for (Size begin = q.panel_begin; begin < q.panel_end; begin += at_once) {
      const OuterColumns columns(q, VectorF::lanes, begin, smaller(begin + at_once, q.panel_end));
      pack_columns(q, columns, chunks, packed_a);
      for (int i = 0; i < q.side_count; ++i) {
        const OuterTiles<VectorF> tiles(q, q.sides[i], columns, tile_side);
        add_side(q.sides[i], tiles, chunks, packed_a, packed_b[i], fresh);
      }
    }
  }
  end_tiles();
}

// Some of the groups.
inline OuterProduct<float> of_groups(const OuterProduct<float>& q, Size begin, Size end) {
  const auto some = [&](RowGroups groups) {
    return RowGroups{groups.first + begin, groups.rows + begin, end - begin};
  };
  OuterProduct<float> part = q;
  part.accumulate = q.accumulate || begin > 0;
  part.a_groups = some(q.a_groups);
  for (int i = 0; i < q.side_count; ++i) {
    part.sides[i].b_groups = some(q.sides[i].b_groups);
    if (end < q.a_groups.count) part.sides[i].b_last = nullptr;
  }
  return part;
}

// Groups for which tiles are not quicker are multiplied without them, as are all of a sum that is
// not large.
void outer_product_amx(const OuterProduct<float>& q) {
  const auto without_tiles = kernel_table_avx512().f32.outer_product;
  if (!q.large) {
    without_tiles(q);
    return;
  }
  const Size count = q.a_groups.count;
  for (Size begin = 0, end = 0; begin < count; begin = end) {
    const bool pays = pays_on_tiles(q.a_groups.rows[begin]);
    while (end < count && pays_on_tiles(q.a_groups.rows[end]) == pays) ++end;
    (pays ? outer_on_tiles : without_tiles)(of_groups(q, begin, end));
  }
}

// Numbers that either way takes.
Size outer_scratch_amx(Size columns, Size other_columns) {
  const Size b_strips = strips_of(columns) + strips_of(other_columns);
  const Size strips = b_strips + strips_of(columns_at_once(b_strips));
  return larger(strips * strip_bytes / static_cast<Size>(sizeof(float)),
                kernel_table_avx512().f32.outer_scratch(columns, other_columns));
}

}  // namespace
}  // namespace pyrnn
