// C = (init + A B) + bias for int8 weights: a tile of sums in registers over a span of k, then
// the scales.
#pragma once

#include "isa/gemm/tile.hpp"
#include "isa/int8/dot.hpp"
#include "isa/panels/rows_of_a.hpp"

namespace pyrnn {
namespace {

constexpr Size most_int8_panels = 4;

// ROWS x PANELS x WIDTH vectors.
struct Int8Tile {
  const std::int16_t* a;
  Size a_row, padded;  // of a row: its numbers of k
  Size k_begin, k_end;
  const std::int8_t* b;  // of the first k of the span
  Size b_panel;
  const float* column_scales;
  const std::int32_t* column_offsets;
  const float* row_scales;
  Size scale_row;
  const float* init[most_int8_panels];  // of each panel
  float* c[most_int8_panels];
  const float* bias[most_int8_panels];  // or null
  Size init_row, c_row;
  Size vector;  // in C and init, from a panel's vector to the next
  Size valid;   // columns of the last panel, if not all
};

template <Storage S, int ROWS, int PANELS, int WIDTH>
void int8_tile(const Int8Tile& tile) {
  using V = VectorOfFloats;
  using D = Dot<S>;
  typename D::Sum sums[ROWS][PANELS * WIDTH];
#pragma GCC unroll 16
  for (int j = 0; j < PANELS * WIDTH; ++j) {
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i) sums[i][j] = D::begin(tile.column_offsets + j * V::lanes);
  }
  const std::int8_t* b[PANELS];
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; ++p) b[p] = tile.b + p * tile.b_panel;
  for (Size k = tile.k_begin; k < tile.k_end; k += D::depth) {
    typename D::Element elements[ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i)
      elements[i] = D::element(tile.a + i * tile.a_row, tile.padded, k);
#pragma GCC unroll 4
    for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
      for (int j = 0; j < WIDTH; ++j) {
        const typename D::Weights weights = D::load(b[p] + j * V::lanes * D::depth);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; ++i) D::add(sums[i][p * WIDTH + j], elements[i], weights);
      }
      b[p] += WIDTH * V::lanes * D::depth;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) {
    const V row_scale = V::broadcast(tile.row_scales[i * tile.scale_row]);
#pragma GCC unroll 4
    for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
      for (int j = 0; j < WIDTH; ++j) {
        const int index = p * WIDTH + j;
        const V products =
            D::total(sums[i][index]) * V::load(tile.column_scales + index * V::lanes);
        const float* const init = tile.init[p] + i * tile.init_row + j * tile.vector;
        float* const c = tile.c[p] + i * tile.c_row + j * tile.vector;
        const Size left = tile.valid - j * V::lanes;
        const bool partial = PANELS == 1 && left < V::lanes;
        if (partial && left <= 0) continue;
        V sum = multiply_add(products, row_scale,
                             partial ? V::load_partial(init, left) : V::load(init));
        if (tile.bias[p] != nullptr) sum = sum + V::load(tile.bias[p] + j * tile.vector);
        if (partial) {
          sum.store_partial(c, left);
        } else {
          sum.store(c);
        }
      }
    }
  }
}

// As many rows as the registers have sums for; one row takes a panel, two, or four.
template <Storage S>
constexpr Size int8_rows_at_once(Size width) {
  return width < Dot<S>::sums ? smaller(Dot<S>::most_rows, Dot<S>::sums / width) : 1;
}
template <Storage S>
constexpr Size int8_panels_at_once(Size width) {
  return 4 * width <= Dot<S>::sums ? 4 : 2 * width <= Dot<S>::sums ? 2 : 1;
}

template <Storage S, int WIDTH, int ROWS>
inline void run_int8_rows(Size rows, const Int8Tile& tile) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return run_int8_rows<S, WIDTH, ROWS - 1>(rows, tile);
  }
  int8_tile<S, ROWS, 1, WIDTH>(tile);
}

template <Storage S, int WIDTH>
inline void run_int8_width(Size rows, Size panels, const Int8Tile& tile) {
  if constexpr (int8_panels_at_once<S>(WIDTH) == 4) {
    if (panels == 4) return int8_tile<S, 1, 4, WIDTH>(tile);
  }
  if constexpr (int8_panels_at_once<S>(WIDTH) >= 2) {
    if (panels == 2) return int8_tile<S, 1, 2, WIDTH>(tile);
  }
  run_int8_rows<S, WIDTH, static_cast<int>(int8_rows_at_once<S>(WIDTH))>(rows, tile);
}

template <Storage S>
inline void run_int8_tile(Size rows, Size panels, Size width, const Int8Tile& tile) {
  switch (width) {
    case 1: return run_int8_width<S, 1>(rows, panels, tile);
    case 2: return run_int8_width<S, 2>(rows, panels, tile);
    case 3: return run_int8_width<S, 3>(rows, panels, tile);
    default: return run_int8_width<S, 4>(rows, panels, tile);
  }
}

// Some panels side by side over a span of k, for all rows.
template <Storage S>
inline void int8_span_of_panels(const Product<float>& q, const RowsOfA& rows, Size panel,
                                Size panels, Size span) {
  using V = VectorOfFloats;
  const Size k = q.k_inner, padded = int8_padded(k);
  const Size width = smaller(q.width, q.vectors - panel * q.width);
  const Size first_vector = panel * q.width;
  Int8Tile tile;
  tile.padded = padded;
  tile.k_begin = span * int8_span;
  tile.k_end = smaller(tile.k_begin + int8_span, quotient_up(k, Dot<S>::depth) * Dot<S>::depth);
  tile.b = static_cast<const std::int8_t*>(q.b) + first_vector * V::lanes * padded +
           tile.k_begin * width * V::lanes;
  tile.b_panel = q.width * V::lanes * padded;
  tile.column_scales = q.int8.column_scales + first_vector * V::lanes;
  tile.column_offsets = q.int8.column_offsets + (span * q.vectors + first_vector) * V::lanes;
  tile.vector = q.blocks ? block_units<float> : V::lanes;
  tile.valid = q.columns - first_vector * V::lanes;
  const bool goes_on = span > 0, ends = tile.k_begin + int8_span >= k;
  tile.a_row = rows.index * q.int8.a_row;
  tile.scale_row = rows.index;
  tile.c_row = rows.c;
  tile.init_row = goes_on ? rows.c : rows.init;
  constexpr Size together = block_units<float> / V::lanes;
  const Size most = int8_rows_at_once<S>(width);
  for (Size group = 0; group < rows.groups; ++group) {
    for (Size row = 0; row < rows.count;) {
      const Size left = rows.count - row;
      // Of nearly equal heights: four rows are two and two, not three and one.
      const Size height = left <= most ? left : quotient_up(left, quotient_up(left, most));
      const Size index = row * rows.index + group * rows.group_index;
      tile.a = q.int8.a + index * q.int8.a_row;
      tile.row_scales = q.int8.row_scales + index;
      for (Size p = 0; p < panels; ++p) {
        const Size this_panel = panel + p, block = q.blocks ? this_panel / together : this_panel;
        const Size in_block = q.blocks ? this_panel % together * V::lanes : 0;
        tile.c[p] = q.c + row * rows.c + group * rows.c_group + block * q.c_panel + in_block;
        tile.bias[p] = ends && q.bias != nullptr ? q.bias + block * q.c_panel + in_block : nullptr;
        tile.init[p] = goes_on ? tile.c[p]
                               : q.init + row * rows.init + group * rows.init_group +
                                     block * q.init_panel + in_block;
      }
      run_int8_tile<S>(height, panels, width, tile);
      row += height;
    }
  }
}

template <Storage S>
void int8_product_stored(const Product<float>& q, Size panel_begin, Size panel_end) {
  using V = VectorOfFloats;
  const RowsOfA rows(q);
  const Size spans = quotient_up(q.k_inner, int8_span);
  const Size full = smaller(q.vectors, q.columns / V::lanes) / q.width;  // panels without an end
  const auto run = [&](Size panel, Size panels) {
    for (Size span = 0; span < spans; ++span) int8_span_of_panels<S>(q, rows, panel, panels, span);
  };
  const Size most = q.rows * q.groups == 1 ? int8_panels_at_once<S>(q.width) : 1;
  for (Size begin = panel_begin, end = panel_end; begin < end;) {
    Size panels = most;
    while (panels > end - begin || (panels > 1 && (q.last_first ? end : begin + panels) > full))
      panels /= 2;
    if (q.last_first) {
      run(end - panels, panels);
      end -= panels;
    } else {
      run(begin, panels);
      begin += panels;
    }
  }
}

inline void int8_product(const Product<float>& q, Size panel_begin, Size panel_end) {
  if constexpr (has_fours) {
    if (q.storage == Storage::int8_fours)
      return int8_product_stored<Storage::int8_fours>(q, panel_begin, panel_end);
  }
  if constexpr (has_bytes_dot) {
    if (q.storage == Storage::int8_bytes_dot)
      return int8_product_stored<Storage::int8_bytes_dot>(q, panel_begin, panel_end);
  }
  if (q.storage == Storage::int8_bytes)
    return int8_product_stored<Storage::int8_bytes>(q, panel_begin, panel_end);
  int8_product_stored<Storage::int8_pairs>(q, panel_begin, panel_end);
}

// Number (k, column of a panel's vector) of int8 weights, with its scale: one vector.
inline VectorOfFloats int8_weights(const Product<float>& q, Size k, Size panel, Size width,
                                   Size j) {
  using V = VectorOfFloats;
  const Size depth = int8_depth(q.storage), first = panel * q.width;
  const std::int8_t* const from = static_cast<const std::int8_t*>(q.b) +
                                  first * V::lanes * int8_padded(q.k_inner) +
                                  (k / depth * width + j) * V::lanes * depth + k % depth;
  float numbers[V::lanes];
  for (Size lane = 0; lane < V::lanes; ++lane) numbers[lane] = from[lane * depth];
  return V::load(numbers) * V::load(q.int8.column_scales + (first + j) * V::lanes);
}

}  // namespace
}  // namespace pyrnn
