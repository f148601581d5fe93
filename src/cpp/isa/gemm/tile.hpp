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
  const T* ahead;  // fetched along the way, for what comes later: a step for each k
  Size ahead_step, ahead_outer;
  Size tiles = 1;                                              // with the same columns of B
  Size a_tile = 0, init_tile = 0, c_tile = 0, ahead_tile = 0;  // from one to the next
};

// Hides from the compiler where a pointer comes from: else gcc 12 gives every address that it can
// derive from it a register of its own, and has none left for the loop's counter.
template <class T>
inline const T* opaque(const T* pointer) {
  __asm__("" : "+r"(pointer));
  return pointer;
}

// sums += a column of A times a row of B
template <class V, int ROWS, int COLUMNS>
inline void add_products(const typename V::Scalar* a, Size a_row, const typename V::Scalar* b,
                         V (&sums)[ROWS][COLUMNS]) {
  V weights[COLUMNS];
#pragma GCC unroll 4
  for (int j = 0; j < COLUMNS; ++j) weights[j] = V::load(b + j * V::lanes);
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
    const V element = V::broadcast(a[i * a_row]);
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) sums[i][j] = multiply_add(element, weights[j], sums[i][j]);
  }
}

// k that the loop takes at once: what it takes besides multiply-adds (pointers, the loop itself,
// loads that only fetch) shares its ports with them. With few registers, the compiler spills.
template <class V>
constexpr int k_at_once = V::accumulators == 24 ? 2 : 1;

// ROWS x COLUMNS vectors of one panel, for some tiles one after the other.
template <class V, int ROWS, int COLUMNS>
void tile_rows(const Tile<typename V::Scalar>& tile) {
  using T = typename V::Scalar;
  const T* a_tile = tile.a;
  const T* init = tile.init;
  T* c = tile.c;
  const Size a_row = tile.a_row, a_k = tile.a_k;
  const T* ahead_tile = tile.ahead;
  const Size ahead_step = tile.ahead_step;
  constexpr Size line = 64 / static_cast<Size>(sizeof(T));
  const bool line_each = 2 * ahead_step > line;  // else one serves two k
  for (Size left = tile.tiles; left > 0; --left) {
    V sums[ROWS][COLUMNS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j)
        sums[i][j] = V::load(init + i * tile.init_row + j * V::lanes);
    }
    const T* a_outer = a_tile;
    const T* ahead_outer = ahead_tile;
    const T* b = tile.b;
    for (Size outer = 0; outer < tile.k_outer; ++outer) {
      const T* a = a_outer;
      const T* ahead = ahead_outer;
      const auto step = [&] {
        add_products(a, a_row, b, sums);
        a = opaque(a + a_k);
        b += COLUMNS * V::lanes;
      };
      if (tile.k_inner % k_at_once<V> != 0) {
        __builtin_prefetch(ahead);
        ahead += ahead_step;
        step();
      }
      for (Size more = tile.k_inner / k_at_once<V>; more > 0; --more) {
        __builtin_prefetch(ahead);
        if (k_at_once<V> > 1 && line_each) __builtin_prefetch(ahead + ahead_step);
        ahead += k_at_once<V> * ahead_step;
#pragma GCC unroll 2
        for (int i = 0; i < k_at_once<V>; ++i) step();
      }
      a_outer += tile.a_outer;
      ahead_outer += tile.ahead_outer;
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j) sums[i][j].store(c + i * tile.c_row + j * V::lanes);
    }
    a_tile += tile.a_tile;
    ahead_tile += tile.ahead_tile;
    init += tile.init_tile;
    c += tile.c_tile;
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
  const T* b[panels];
#pragma GCC unroll 4
  for (int p = 0; p < panels; ++p) b[p] = tile.b + p * tile.b_panel;
  const T* b_tail = tile.b + PANELS * tile.b_panel;
  for (Size outer = 0; outer < tile.k_outer; ++outer, a_outer += tile.a_outer) {
    const T* a = a_outer;
    for (Size k = tile.k_inner; k > 0; --k, a += tile.a_k) {
      const V element = V::broadcast(*a);
#pragma GCC unroll 4
      for (int p = 0; p < PANELS; ++p) {
        const T* const weights = opaque(b[p]);
#pragma GCC unroll 4
        for (int j = 0; j < WIDTH; ++j)
          sums[p][j] = multiply_add(element, V::load(weights + j * V::lanes), sums[p][j]);
        b[p] = weights + WIDTH * V::lanes;
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

template <class V>
constexpr int tile_max_rows(int columns) {
  return V::accumulators / columns < 8 ? V::accumulators / columns : 8;
}

// Panels that a tile of one row takes at once.
template <class V>
constexpr int tile_max_panels(int width) {
  return V::accumulators / width < 4 ? V::accumulators / width : 4;
}

// Rows past the most are never asked for; they stand for a tile that there is.
template <class V, int COLUMNS, int ROWS>
constexpr TileFunction<typename V::Scalar> tile_of =
    tile_rows<V, (ROWS <= tile_max_rows<V>(COLUMNS) ? ROWS : 1), COLUMNS>;

template <class V, int COLUMNS>
constexpr TileFunction<typename V::Scalar> tiles_of_rows[9] = {nullptr,
                                                               tile_of<V, COLUMNS, 1>,
                                                               tile_of<V, COLUMNS, 2>,
                                                               tile_of<V, COLUMNS, 3>,
                                                               tile_of<V, COLUMNS, 4>,
                                                               tile_of<V, COLUMNS, 5>,
                                                               tile_of<V, COLUMNS, 6>,
                                                               tile_of<V, COLUMNS, 7>,
                                                               tile_of<V, COLUMNS, 8>};

template <class V>
inline void run_tile_rows(int rows, int columns, const Tile<typename V::Scalar>& tile) {
  switch (columns) {
    case 1: return tiles_of_rows<V, 1>[rows](tile);
    case 2: return tiles_of_rows<V, 2>[rows](tile);
    case 3: return tiles_of_rows<V, 3>[rows](tile);
    default: return tiles_of_rows<V, 4>[rows](tile);
  }
}

constexpr int lesser(int a, int b) { return a < b ? a : b; }

template <class V, int WIDTH, int PANELS>
constexpr TileFunction<typename V::Scalar> tiles_of_tail[4] = {
    tile_panels<V, WIDTH, PANELS, 0>, tile_panels<V, WIDTH, PANELS, lesser(1, WIDTH - 1)>,
    tile_panels<V, WIDTH, PANELS, lesser(2, WIDTH - 1)>,
    tile_panels<V, WIDTH, PANELS, lesser(3, WIDTH - 1)>};

template <class V, int WIDTH>
inline void run_tile_width(int panels, int tail, const Tile<typename V::Scalar>& tile) {
  constexpr int most = tile_max_panels<V>(WIDTH);
  switch (panels) {
    case 0: return tiles_of_tail<V, WIDTH, 0>[tail](tile);
    case 1: return tiles_of_tail<V, WIDTH, 1>[tail](tile);
    case 2: return tiles_of_tail<V, WIDTH, lesser(2, most)>[tail](tile);
    case 3: return tiles_of_tail<V, WIDTH, lesser(3, most)>[tail](tile);
    default: return tiles_of_tail<V, WIDTH, most>[tail](tile);
  }
}

// One row x `panels` whole panels of `width` vectors, and `tail` vectors of one more.
template <class V>
inline void run_tile_panels(int width, int panels, int tail, const Tile<typename V::Scalar>& tile) {
  switch (width) {
    case 1: return run_tile_width<V, 1>(panels, tail, tile);
    case 2: return run_tile_width<V, 2>(panels, tail, tile);
    case 3: return run_tile_width<V, 3>(panels, tail, tile);
    default: return run_tile_width<V, 4>(panels, tail, tile);
  }
}

}  // namespace
}  // namespace pyrnn
