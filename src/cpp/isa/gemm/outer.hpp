// C (+)= Aᵀ B, summed over rows: the gradients of weights. Both operands are packed a block of rows
// at a time; B once, A panel by panel.
#pragma once

#include "isa/gemm/product.hpp"

namespace pyrnn {
namespace {

constexpr int outer_width = 3;   // vectors of a panel of B
constexpr Size outer_block = 128;  // rows packed at a time

template <class V>
constexpr Size outer_tile_rows = smaller(tile_max_rows<V>(outer_width), V::lanes);

template <class V>
Size outer_scratch(Size columns) {
  const Size vectors = (columns + V::lanes - 1) / V::lanes;
  return outer_block * (vectors + max_slots * panel_vectors) * V::lanes;
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

// `count` rows of B into panels (k, outer_width * lanes); columns past the end are zeros.
template <class V>
inline void pack_outer_b(const OuterProduct<typename V::Scalar>& q, RowCursor& rows, Size count,
                         typename V::Scalar* packed) {
  const Size vectors = (q.columns + V::lanes - 1) / V::lanes;
  for (Size k = 0; k < count; ++k) {
    const auto* source = q.b + rows.next() * q.b_row;
    for (Size vector = 0; vector < vectors; ++vector) {
      const Size panel = vector / outer_width;
      const Size width = smaller(outer_width, vectors - panel * outer_width);
      const Size valid = q.columns - vector * V::lanes;
      const V x = load_some<V>(source + vector * V::lanes, valid);
      x.store(packed +
              (panel * count * outer_width + k * width + vector - panel * outer_width) * V::lanes);
    }
  }
}

// `count` rows of one panel of A into strips (k, tile rows).
template <class V>
inline void pack_outer_a(const OuterProduct<typename V::Scalar>& q, RowCursor rows, Size count,
                         Size column, Size columns, typename V::Scalar* packed) {
  constexpr Size strip = outer_tile_rows<V>;
  for (Size k = 0; k < count; ++k) {
    const auto* source = q.a + rows.next() * q.a_row + column;
    for (Size m = 0; m < columns; m += strip) {
      auto* to = packed + m * count + k * strip;
      if (columns - m >= strip) {
#pragma GCC unroll 8
        for (Size i = 0; i < strip; ++i) to[i] = source[m + i];
      } else {
        for (Size i = 0; i < strip; ++i) to[i] = i < columns - m ? source[m + i] : 0;
      }
    }
  }
}

template <class V>
void outer_product(const OuterProduct<typename V::Scalar>& q) {
  using T = typename V::Scalar;
  constexpr Size strip = outer_tile_rows<V>;
  const Size vectors = (q.columns + V::lanes - 1) / V::lanes;
  const Size run = q.unit_vectors * V::lanes;
  T* const packed_b = q.scratch;
  T* const packed_a = q.scratch + outer_block * vectors * V::lanes;
  alignas(64) static const T zeros[outer_width * V::lanes] = {};
  RowCursor a_rows{&q.a_groups, 0, 0}, b_rows{&q.b_groups, 0, 0};
  Size left = 0;
  for (Size group = 0; group < q.a_groups.count; ++group) left += q.a_groups.rows[group];
  for (bool first = true; left > 0; first = false) {
    const Size count = smaller(outer_block, left);
    pack_outer_b<V>(q, b_rows, count, packed_b);
    for (Size panel = q.panel_begin; panel < q.panel_end; ++panel) {
      const Size unit = panel * run;
      const Size units = smaller(run, q.units - unit);
      // The last panel of a cell of one slot may be narrower than a run.
      const Size lanes = smaller(run, (q.units - unit + V::lanes - 1) / V::lanes * V::lanes);
      for (int slot = q.slot_begin; slot < q.slot_end; ++slot) {
        pack_outer_a<V>(q, a_rows, count, unit * q.slots + slot * lanes, units,
                        packed_a + (slot - q.slot_begin) * outer_block * run);
      }
      for (Size b_panel = 0; b_panel * outer_width < vectors; ++b_panel) {
        const int width =
            static_cast<int>(smaller(outer_width, vectors - b_panel * outer_width));
        const Size column = b_panel * outer_width * V::lanes;
        const Size valid = q.columns - column;
        for (int slot = q.slot_begin; slot < q.slot_end; ++slot) {
          for (Size m = 0; m < units; m += strip) {
            T* const c = q.c + (q.gate_of_slot[slot] * q.units + unit + m) * q.c_row + column;
            const bool fresh = first && !q.accumulate;
            const Tile<T> tile{
                packed_a + (slot - q.slot_begin) * outer_block * run + m * count,
                1,
                strip,
                0,
                packed_b + b_panel * count * outer_width * V::lanes,
                0,
                fresh ? zeros : c,
                fresh ? 0 : q.c_row,
                0,
                c,
                q.c_row,
                0,
                1,
                count,
                packed_b,
                0};
            const int rows = static_cast<int>(smaller(strip, units - m));
            if (valid < width * V::lanes) {
              run_partial_tile<V>(rows, width, valid, tile);
            } else {
              run_tile_rows<V>(rows, width, tile);
            }
          }
        }
      }
    }
    for (Size k = 0; k < count; ++k) a_rows.next();
    left -= count;
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
            total[j] = total[j] +
                       load_some<V>(row + j * V::lanes, end - column - j * V::lanes);
        }
      }
    }
    for (Size j = 0; j < vectors; ++j)
      store_some<V>(total[j], sums + column + j * V::lanes, end - column - j * V::lanes);
  }
}

}  // namespace
}  // namespace pyrnn
