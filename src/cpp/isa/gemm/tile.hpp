// The micro-kernels: a tile of C held in registers while k runs over a panel of packed weights.
//
// A tile is ROWS x COLUMNS vectors. One row alone would wait for its few multiply-adds, so a tile
// of one row takes several panels at once. Registers: ROWS * COLUMNS accumulators, COLUMNS weights,
// the element of A is broadcast from memory (AVX-512) or held (AVX2).
#pragma once

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

template <class T>
struct Tile {
  const T* a;
  Size a_row, a_k, a_outer;
  const T* b;
  Size b_panel;  // between panels, for tiles of one row
  const T* init;
  Size init_row, init_panel;
  T* c;
  Size c_row, c_panel;
  Size k_outer, k_inner;
  const T* ahead;  // fetched along the way, for later tiles: a step for every k
  Size ahead_step;
};

// ROWS x COLUMNS vectors of one panel.
template <class V, int ROWS, int COLUMNS>
void tile_rows(const Tile<typename V::Scalar>& tile) {
  using T = typename V::Scalar;
  V sums[ROWS][COLUMNS];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j)
      sums[i][j] = V::load(tile.init + i * tile.init_row + j * V::lanes);
  }
  const T* a_outer = tile.a;
  const T* b = tile.b;
  const Size a_row = tile.a_row, a_k = tile.a_k;
  const T* ahead = tile.ahead;
  const Size ahead_step = tile.ahead_step;
  for (Size outer = 0; outer < tile.k_outer; ++outer, a_outer += tile.a_outer) {
    const T* a = a_outer;
    for (Size k = tile.k_inner; k > 0; --k, a += a_k, b += COLUMNS * V::lanes) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_step;
      V weights[COLUMNS];
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j) weights[j] = V::load(b + j * V::lanes);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; ++i) {
        const V element = V::broadcast(a[i * a_row]);
#pragma GCC unroll 4
        for (int j = 0; j < COLUMNS; ++j)
          sums[i][j] = multiply_add(element, weights[j], sums[i][j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) sums[i][j].store(tile.c + i * tile.c_row + j * V::lanes);
  }
}

// One row x PANELS panels of WIDTH vectors, and TAIL vectors of a last, narrower panel.
template <class V, int WIDTH, int PANELS, int TAIL>
void tile_panels(const Tile<typename V::Scalar>& tile) {
  using T = typename V::Scalar;
  constexpr int tail = TAIL > 0 ? TAIL : 1;
  constexpr int panels = PANELS > 0 ? PANELS : 1;
  V sums[panels][WIDTH];
  V tail_sums[tail];
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
    for (int j = 0; j < WIDTH; ++j)
      sums[p][j] = V::load(tile.init + p * tile.init_panel + j * V::lanes);
  }
#pragma GCC unroll 4
  for (int j = 0; j < TAIL; ++j)
    tail_sums[j] = V::load(tile.init + PANELS * tile.init_panel + j * V::lanes);
  const T* a_outer = tile.a;
  const T* b = tile.b;
  const T* b_tail = tile.b + PANELS * tile.b_panel;
  for (Size outer = 0; outer < tile.k_outer; ++outer, a_outer += tile.a_outer) {
    const T* a = a_outer;
    for (Size k = tile.k_inner; k > 0; --k, a += tile.a_k, b += WIDTH * V::lanes) {
      const V element = V::broadcast(*a);
#pragma GCC unroll 4
      for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
        for (int j = 0; j < WIDTH; ++j)
          sums[p][j] =
              multiply_add(element, V::load(b + p * tile.b_panel + j * V::lanes), sums[p][j]);
      }
#pragma GCC unroll 4
      for (int j = 0; j < TAIL; ++j)
        tail_sums[j] = multiply_add(element, V::load(b_tail + j * V::lanes), tail_sums[j]);
      b_tail += TAIL * V::lanes;
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
    for (int j = 0; j < WIDTH; ++j) sums[p][j].store(tile.c + p * tile.c_panel + j * V::lanes);
  }
#pragma GCC unroll 4
  for (int j = 0; j < TAIL; ++j) tail_sums[j].store(tile.c + PANELS * tile.c_panel + j * V::lanes);
}

template <class T>
using TileFunction = void (*)(const Tile<T>&);

// Accumulators that fit beside weights and an element of A.
template <class V>
constexpr int tile_budget = V::registers == 32 ? 24 : 12;

template <class V>
constexpr int tile_max_rows(int columns) {
  return tile_budget<V> / columns < 8 ? tile_budget<V> / columns : 8;
}

// Panels that a tile of one row takes at once.
template <class V>
constexpr int tile_max_panels(int width) {
  return tile_budget<V> / width < 4 ? tile_budget<V> / width : 4;
}

template <class V, int COLUMNS>
constexpr TileFunction<typename V::Scalar> tiles_of_rows[9] = {
    nullptr,
    tile_rows<V, 1, COLUMNS>,
    tile_rows<V, 2, COLUMNS>,
    tile_rows<V, 3, COLUMNS>,
    tile_rows < V,
    tile_max_rows<V>(COLUMNS) >= 4 ? 4 : 1,
    COLUMNS >,
    tile_rows < V,
    tile_max_rows<V>(COLUMNS) >= 5 ? 5 : 1,
    COLUMNS >,
    tile_rows < V,
    tile_max_rows<V>(COLUMNS) >= 6 ? 6 : 1,
    COLUMNS >,
    tile_rows < V,
    tile_max_rows<V>(COLUMNS) >= 7 ? 7 : 1,
    COLUMNS >
    , tile_rows < V, tile_max_rows<V>(COLUMNS) >= 8 ? 8 : 1, COLUMNS > };

template <class V>
inline void run_tile_rows(int rows, int columns, const Tile<typename V::Scalar>& tile) {
  switch (columns) {
    case 1: return tiles_of_rows<V, 1>[rows](tile);
    case 2: return tiles_of_rows<V, 2>[rows](tile);
    case 3: return tiles_of_rows<V, 3>[rows](tile);
    default: return tiles_of_rows<V, 4>[rows](tile);
  }
}

template <class V, int WIDTH, int PANELS>
constexpr TileFunction<typename V::Scalar> tiles_of_tail[4] = {
    tile_panels<V, WIDTH, PANELS, 0>,
    tile_panels < V,
    WIDTH,
    PANELS,
    WIDTH >= 2 ? 1 : 0 >,
    tile_panels < V,
    WIDTH,
    PANELS,
    WIDTH >= 3 ? 2 : 0 >
    , tile_panels < V, WIDTH, PANELS, WIDTH >= 4 ? 3 : 0 > };

template <class V, int WIDTH>
inline void run_tile_width(int panels, int tail, const Tile<typename V::Scalar>& tile) {
  constexpr int most = tile_max_panels<V>(WIDTH);
  switch (panels) {
    case 0: return tiles_of_tail<V, WIDTH, 0>[tail](tile);
    case 1: return tiles_of_tail<V, WIDTH, 1>[tail](tile);
    case 2: return tiles_of_tail<V, WIDTH, 2>[tail](tile);
    case 3: return tiles_of_tail<V, WIDTH, 3>[tail](tile);
    default: return tiles_of_tail<V, WIDTH, most>[tail](tile);
  }
}

// One row x `panels` whole panels of 3 or 4 vectors, and `tail` vectors of one more.
template <class V>
inline void run_tile_panels(int width, int panels, int tail, const Tile<typename V::Scalar>& tile) {
  return width == 3 ? run_tile_width<V, 3>(panels, tail, tile)
                    : run_tile_width<V, 4>(panels, tail, tile);
}

}  // namespace
}  // namespace pyrnn
