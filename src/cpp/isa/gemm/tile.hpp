// The micro-kernels: a tile of C held in registers while k runs over a panel of packed weights.
//
// A tile is ROWS x COLUMNS vectors. One row alone would wait for its few multiply-adds, so a tile
// of one row takes several panels at once. Registers: ROWS * COLUMNS accumulators, as many weights
// as there are registers left, the element of A is broadcast from memory (AVX-512) or held (AVX2).
#pragma once

#include <type_traits>

#include "isa/gemm/stored.hpp"
#include "isa/panels/offsets.hpp"
#include "isa/simd/lanes.hpp"
#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// How A lies: as rows, or packed: a vector of rows, k after k.
enum class Layout { rows, packed };

template <class T>
struct Tile {
  const T* a;
  Size a_row, a_outer;  // from one row to the next where A lies as rows; from a span of k
  // B, and what is fetched along the way, in bytes, as they may be stored narrower than T.
  const char* b;
  Storage storage;
  Size b_panel;    // between panels, for tiles of one row
  Size b_section;  // between the sections of a panel
  const T* init;
  Size init_row, init_panel;
  T* c;
  Size c_row, c_panel;
  Size vector;    // in C and init, from a panel's vector to the next, if not all fill a block
  Size in_block;  // of the first panel, if panels share blocks
  bool blocks;    // whether they do
  Size k_outer, k_inner;
  const char* ahead;  // fetched along the way, for what comes later: a step for each k
  Size ahead_step, ahead_outer;
  Size tiles = 1;                                              // with the same columns of B
  Size a_tile = 0, init_tile = 0, c_tile = 0, ahead_tile = 0;  // from one to the next
  const T* bias = nullptr;  // in columns like C's: added to all rows at last
  bool adds = false;        // whether the sums of a packed A are added to C
};

// Where a panel's vector is in C and init, from the tile's first on: a panel and a vector further.
template <class V>
inline Size vector_at(const Tile<typename V::Scalar>& tile, int j) {
  return j * (block_vectors<V> == 1 ? Size{V::lanes} : tile.vector);
}
template <class V>
inline Size panel_at(const Tile<typename V::Scalar>& tile, int panel, Size stride) {
  if (block_vectors<V> == 1 || !tile.blocks) return panel * stride;
  const Size vector = tile.in_block + panel;
  return vector / block_vectors<V> * stride +
         (vector % block_vectors<V> - tile.in_block) * V::lanes;
}

// Hides from the compiler where a pointer comes from: else gcc 12 gives every address that it can
// derive from it a register of its own, and has none left for the loop's counter.
template <class T>
inline const T* opaque(const T* pointer) {
  __asm__("" : "+r"(pointer));
  return pointer;
}

// a * b + sum, with b from a register or from memory. An instruction set may know better.
template <class V>
inline V accumulated(V a, V b, V sum) {
  return multiply_add(a, b, sum);
}
template <class V>
inline V accumulated(V a, const typename V::Scalar* b, V sum) {
  return multiply_add(a, V::load(b), sum);
}

// Vectors of a row of B that a tile holds in registers beside its sums and an element of A; the
// others are read by each multiply-add.
template <class V, int ROWS, int COLUMNS>
constexpr int held_weights = lesser((has_32_registers<V> ? 32 : 16) - ROWS * COLUMNS - 1, COLUMNS);

// k that the loop takes at once: what it takes besides multiply-adds (pointers, the loop itself,
// loads that only fetch) shares its ports with them.
template <class V>
constexpr int k_at_once = has_32_registers<V> ? 2
                          : is_avx2<V>        ? 4
                                              : 1;

// Where a tile is in A: a pointer for all rows, which moves with each k, or, where several k share
// fixed offsets, one for each row.
template <class V, Layout A, int ROWS>
struct ElementsOfA {
  using T = typename V::Scalar;
  static constexpr Size next_k = A == Layout::packed ? V::lanes : 1;
  static constexpr bool fixed_offsets = k_at_once<V> == 4;
  static constexpr int pointers = fixed_offsets && A == Layout::rows ? ROWS : 1;
  const T* from[pointers];
  Size row;

  ElementsOfA(const T* first, Size a_row) : row(A == Layout::packed ? 1 : a_row) {
#pragma GCC unroll 16
    for (int i = 0; i < pointers; ++i) from[i] = opaque(first + i * row);
  }
  const T* element(int i, int k) const {
    return pointers == 1 ? from[0] + i * row + k * next_k : from[i] + k * next_k;
  }
  void advance(int k) {
#pragma GCC unroll 16
    for (int i = 0; i < pointers; ++i) from[i] = opaque(from[i] + k * next_k);
  }
};

// sums += column k of A times a row of B, from its sections
template <class V, Storage S, Layout A, int ROWS, int COLUMNS, int SECTIONS>
inline void add_products(const ElementsOfA<V, A, ROWS>& a, int k,
                         const typename Stored<V, S>::Number* const (&b)[SECTIONS], int b_k,
                         V (&sums)[ROWS][COLUMNS]) {
  constexpr int held = held_weights<V, ROWS, COLUMNS>, width = COLUMNS / SECTIONS;
  const auto row = [&](int j) { return b[j / width] + b_k * width * V::lanes; };
  V weights[held];
#pragma GCC unroll 4
  for (int j = 0; j < held; ++j) weights[j] = Stored<V, S>::load(row(j), j % width, width);
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
    const V of_a = V::broadcast(*a.element(i, k));
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j)
      sums[i][j] =
          j < held ? accumulated(of_a, weights[j], sums[i][j])
                   : accumulated(of_a, Stored<V, S>::from(row(j), j % width, width), sums[i][j]);
  }
}

// ROWS x COLUMNS vectors of SECTIONS sections of a panel, from one of its vectors on.
template <class V, Storage S, Layout A, int ROWS, int COLUMNS, int SECTIONS>
inline void tile_of_sections(const Tile<typename V::Scalar>& tile,
                             const typename V::Scalar* a_outer, const char* b_first,
                             const typename V::Scalar* init, typename V::Scalar* c,
                             const typename V::Scalar* bias, const char* ahead_outer) {
  using Number = typename Stored<V, S>::Number;
  const Size ahead_step = tile.ahead_step;
  constexpr Size line = 64;
  const bool line_each = k_at_once<V> * ahead_step > line;  // else one serves all k taken at once
  V sums[ROWS][COLUMNS];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j)
      sums[i][j] = V::load(init + i * tile.init_row + vector_at<V>(tile, j));
  }
  const Number* b[SECTIONS];
#pragma GCC unroll 2
  for (int section = 0; section < SECTIONS; ++section)
    b[section] = reinterpret_cast<const Number*>(b_first + section * tile.b_section);
  for (Size outer = 0; outer < tile.k_outer; ++outer) {
    ElementsOfA<V, A, ROWS> a(a_outer, tile.a_row);
    const char* ahead = ahead_outer;
    const auto steps = [&](auto count) {
      constexpr bool fixed = ElementsOfA<V, A, ROWS>::fixed_offsets;
#pragma GCC unroll 4
      for (int k = 0; k < count.value; ++k) {
        add_products<V, S>(a, fixed ? k : 0, b, k, sums);
        if (!fixed) a.advance(1);
      }
      if (fixed) a.advance(count.value);
#pragma GCC unroll 2
      for (int section = 0; section < SECTIONS; ++section)
        b[section] += count.value * (COLUMNS / SECTIONS) * V::lanes;
    };
    for (Size rest = tile.k_inner % k_at_once<V>; rest > 0; --rest) {
      __builtin_prefetch(ahead);
      ahead += ahead_step;
      steps(std::integral_constant<int, 1>());
    }
    for (Size more = tile.k_inner / k_at_once<V>; more > 0; --more) {
      __builtin_prefetch(ahead);
      if (line_each) {
#pragma GCC unroll 4
        for (int i = 1; i < k_at_once<V>; ++i) __builtin_prefetch(ahead + i * ahead_step);
      }
      ahead += k_at_once<V> * ahead_step;
      steps(std::integral_constant<int, k_at_once<V>>());
    }
    a_outer += tile.a_outer;
    ahead_outer += tile.ahead_outer;
  }
  if (A == Layout::rows && bias != nullptr) {
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) {
      const V last = V::load(bias + vector_at<V>(tile, j));
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; ++i) sums[i][j] = sums[i][j] + last;
    }
  }
  if (A == Layout::packed && tile.adds) {
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < COLUMNS; ++j)
        sums[i][j] = V::load(c + i * tile.c_row + vector_at<V>(tile, j)) + sums[i][j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < COLUMNS; ++j) sums[i][j].store(c + i * tile.c_row + vector_at<V>(tile, j));
  }
}

// ROWS x COLUMNS vectors of one panel, for some tiles one after the other.
template <class V, Storage S, Layout A, int ROWS, int COLUMNS>
void tile_rows(const Tile<typename V::Scalar>& tile) {
  using T = typename V::Scalar;
  constexpr int width = section_width<V>(COLUMNS);
  constexpr int at_once = ROWS * COLUMNS <= V::accumulators ? COLUMNS : width;
  const T *a = tile.a, *init = tile.init;
  const char* ahead = tile.ahead;
  T* c = tile.c;
  for (Size left = tile.tiles; left > 0; --left) {
    for (int first = 0; first < COLUMNS; first += at_once) {
      const Size column = vector_at<V>(tile, first), section = first / width * tile.b_section;
      tile_of_sections<V, S, A, ROWS, at_once, at_once / width>(
          tile, a, tile.b + section, init + column, c + column,
          tile.bias == nullptr ? nullptr : tile.bias + column, ahead + section);
    }
    a += tile.a_tile;
    ahead += tile.ahead_tile;
    init += tile.init_tile;
    c += tile.c_tile;
  }
}

// One row x PANELS panels of WIDTH vectors, and TAIL vectors of a last, narrower panel.
template <class V, Storage S, int WIDTH, int PANELS, int TAIL>
void tile_panels(const Tile<typename V::Scalar>& tile) {
  using T = typename V::Scalar;
  using B = Stored<V, S>;
  using Number = typename B::Number;
  constexpr int tail = TAIL > 0 ? TAIL : 1;
  constexpr int panels = PANELS > 0 ? PANELS : 1;
  V sums[panels][WIDTH];
  V tail_sums[tail];
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
    for (int j = 0; j < WIDTH; ++j)
      sums[p][j] =
          V::load(tile.init + panel_at<V>(tile, p, tile.init_panel) + vector_at<V>(tile, j));
  }
#pragma GCC unroll 4
  for (int j = 0; j < TAIL; ++j)
    tail_sums[j] =
        V::load(tile.init + panel_at<V>(tile, PANELS, tile.init_panel) + vector_at<V>(tile, j));
  const T* a_outer = tile.a;
  constexpr int width = section_width<V>(WIDTH), sections = WIDTH / width;
  const Number* b[panels][sections];
#pragma GCC unroll 4
  for (int p = 0; p < panels; ++p) {
#pragma GCC unroll 2
    for (int section = 0; section < sections; ++section)
      b[p][section] =
          reinterpret_cast<const Number*>(tile.b + p * tile.b_panel + section * tile.b_section);
  }
  const auto* b_tail = reinterpret_cast<const Number*>(tile.b + PANELS * tile.b_panel);
  for (Size outer = 0; outer < tile.k_outer; ++outer, a_outer += tile.a_outer) {
    const T* a = a_outer;
    for (Size k = tile.k_inner; k > 0; --k, ++a) {
      const V element = V::broadcast(*a);
#pragma GCC unroll 4
      for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 2
        for (int section = 0; section < sections; ++section) {
          const Number* const weights = opaque(b[p][section]);
#pragma GCC unroll 4
          for (int j = 0; j < width; ++j) {
            V& sum = sums[p][section * width + j];
            sum = multiply_add(element, B::load(weights, j, width), sum);
          }
          b[p][section] = weights + width * V::lanes;
        }
      }
#pragma GCC unroll 4
      for (int j = 0; j < TAIL; ++j)
        tail_sums[j] = multiply_add(element, B::load(b_tail, j, TAIL), tail_sums[j]);
      b_tail += TAIL * V::lanes;
    }
  }
  if (tile.bias != nullptr) {
    const auto last = [&](int p, int j) {
      return V::load(tile.bias + panel_at<V>(tile, p, tile.c_panel) + vector_at<V>(tile, j));
    };
#pragma GCC unroll 4
    for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
      for (int j = 0; j < WIDTH; ++j) sums[p][j] = sums[p][j] + last(p, j);
    }
#pragma GCC unroll 4
    for (int j = 0; j < TAIL; ++j) tail_sums[j] = tail_sums[j] + last(PANELS, j);
  }
#pragma GCC unroll 4
  for (int p = 0; p < PANELS; ++p) {
#pragma GCC unroll 4
    for (int j = 0; j < WIDTH; ++j)
      sums[p][j].store(tile.c + panel_at<V>(tile, p, tile.c_panel) + vector_at<V>(tile, j));
  }
#pragma GCC unroll 4
  for (int j = 0; j < TAIL; ++j)
    tail_sums[j].store(tile.c + panel_at<V>(tile, PANELS, tile.c_panel) + vector_at<V>(tile, j));
}

template <class T>
using TileFunction = void (*)(const Tile<T>&);

template <class V>
constexpr int tile_max_rows(int columns) {
  return lesser(V::accumulators / section_width<V>(columns), 8);
}

// Panels that a tile of one row takes at once.
template <class V>
constexpr int tile_max_panels(int width) {
  return V::accumulators / width < 4 ? V::accumulators / width : 4;
}

// Row counts above the maximum never occur; the entry only fills the table.
template <class V, Storage S, Layout A, int COLUMNS, int ROWS>
constexpr TileFunction<typename V::Scalar> tile_of =
    tile_rows<V, S, A, (ROWS <= tile_max_rows<V>(COLUMNS) ? ROWS : 1), COLUMNS>;

template <class V, Storage S, Layout A, int COLUMNS>
constexpr TileFunction<typename V::Scalar> tiles_of_rows[9] = {nullptr,
                                                               tile_of<V, S, A, COLUMNS, 1>,
                                                               tile_of<V, S, A, COLUMNS, 2>,
                                                               tile_of<V, S, A, COLUMNS, 3>,
                                                               tile_of<V, S, A, COLUMNS, 4>,
                                                               tile_of<V, S, A, COLUMNS, 5>,
                                                               tile_of<V, S, A, COLUMNS, 6>,
                                                               tile_of<V, S, A, COLUMNS, 7>,
                                                               tile_of<V, S, A, COLUMNS, 8>};

template <class V, Storage S, Layout A>
inline void run_stored_rows(int rows, int columns, const Tile<typename V::Scalar>& tile) {
  switch (columns) {
    case 1: return tiles_of_rows<V, S, A, 1>[rows](tile);
    case 2: return tiles_of_rows<V, S, A, 2>[rows](tile);
    case 3: return tiles_of_rows<V, S, A, 3>[rows](tile);
    default: return tiles_of_rows<V, S, A, 4>[rows](tile);
  }
}

// A packed A belongs to sums of gradients, of which nothing is stored narrow.
template <class V, Layout A = Layout::rows>
inline void run_tile_rows(int rows, int columns, const Tile<typename V::Scalar>& tile) {
  if constexpr (A == Layout::packed) {
    run_stored_rows<V, Storage::full, A>(rows, columns, tile);
  } else {
    with_storage<V>(tile.storage,
                    [&](auto s) { run_stored_rows<V, s.value, A>(rows, columns, tile); });
  }
}

// Whether the sums of a tile of one row fit registers beside an element and, where a weight is
// widened first, that one.
template <class V, Storage S>
constexpr bool holds_sums(int sums) {
  return S == Storage::full || sums <= (has_32_registers<V> ? 30 : 14);
}

template <class V, Storage S, int WIDTH, int PANELS, int TAIL>
constexpr TileFunction<typename V::Scalar> tile_with_tail = tile_panels < V,
                                           S, WIDTH, PANELS,
                                           holds_sums<V, S>(WIDTH* PANELS + TAIL) ? TAIL : 0 > ;

template <class V, Storage S, int WIDTH, int PANELS>
constexpr TileFunction<typename V::Scalar> tiles_of_tail[4] = {
    tile_with_tail<V, S, WIDTH, PANELS, 0>,
    tile_with_tail<V, S, WIDTH, PANELS, lesser(1, WIDTH - 1)>,
    tile_with_tail<V, S, WIDTH, PANELS, lesser(2, WIDTH - 1)>,
    tile_with_tail<V, S, WIDTH, PANELS, lesser(3, WIDTH - 1)>};

template <class V, Storage S, int WIDTH>
inline void run_tile_width(int panels, int tail, const Tile<typename V::Scalar>& tile) {
  constexpr int most = tile_max_panels<V>(WIDTH);
  switch (panels) {
    case 0: return tiles_of_tail<V, S, WIDTH, 0>[tail](tile);
    case 1: return tiles_of_tail<V, S, WIDTH, 1>[tail](tile);
    case 2: return tiles_of_tail<V, S, WIDTH, lesser(2, most)>[tail](tile);
    case 3: return tiles_of_tail<V, S, WIDTH, lesser(3, most)>[tail](tile);
    default: return tiles_of_tail<V, S, WIDTH, most>[tail](tile);
  }
}

template <class V, Storage S>
inline void run_stored_panels(int width, int panels, int tail,
                              const Tile<typename V::Scalar>& tile) {
  if (panels > 0 && tail > 0 && !holds_sums<V, S>(width * panels + tail)) {
    run_stored_panels<V, S>(width, panels, 0, tile);
    Tile<typename V::Scalar> last = tile;
    last.b += panels * tile.b_panel;
    last.init += panel_at<V>(tile, panels, tile.init_panel);
    last.c += panel_at<V>(tile, panels, tile.c_panel);
    if (tile.bias != nullptr) last.bias += panel_at<V>(tile, panels, tile.c_panel);
    last.in_block = 0;
    return run_stored_panels<V, S>(width, 0, tail, last);
  }
  switch (width) {
    case 1: return run_tile_width<V, S, 1>(panels, tail, tile);
    case 2: return run_tile_width<V, S, 2>(panels, tail, tile);
    case 3: return run_tile_width<V, S, 3>(panels, tail, tile);
    default: return run_tile_width<V, S, 4>(panels, tail, tile);
  }
}

// One row x `panels` whole panels of `width` vectors, and `tail` vectors of one more.
template <class V>
inline void run_tile_panels(int width, int panels, int tail, const Tile<typename V::Scalar>& tile) {
  with_storage<V>(tile.storage,
                  [&](auto s) { run_stored_panels<V, s.value>(width, panels, tail, tile); });
}

}  // namespace
}  // namespace pyrnn
