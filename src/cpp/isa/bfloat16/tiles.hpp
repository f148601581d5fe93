// Products of bfloat16 in the tiles of AMX, or of what computes the same without it.
//
// A tile is 16 rows of 64 bytes: of sums 16 numbers of float32 a row, of A a block of k, of B the
// pairs of two k for 16 columns. Tiles 0 to 3 are sums, 4 and 5 of A, 6 and 7 of B.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa/simd/narrow.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

#if defined(__AVX512F__) && defined(__AVX512DQ__)

// The instructions are written out: the compiler may not use them elsewhere, as not every processor
// has them.
struct AmxTiles {
  static void configure() {
    struct {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } const shapes;
    static_assert(sizeof(shapes) == 64);
    __asm__ volatile("ldtilecfg %0" ::"m"(shapes));
  }
  static void release() { __asm__ volatile("tilerelease" ::: "memory"); }
  template <int TILE>
  static void load(const void* from, Size row_bytes) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row_bytes), "i"(TILE)
                     : "memory");
  }
  template <int TILE>
  static void store(void* to, Size row_bytes) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row_bytes), "i"(TILE)
                     : "memory");
  }
  template <int SUMS, int A, int B>
  static void multiply() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUMS), "i"(A), "i"(B));
  }
};

// For tests on other processors: where numbers lie, and what becomes of them, as AMX has it.
class EmulatedTiles {
 public:
  static void configure() { std::memset(tiles_, 0, sizeof(tiles_)); }
  static void release() {}
  template <int TILE>
  static void load(const void* from, Size row_bytes) {
    for (Size row = 0; row < tile_side; ++row)
      std::memcpy(tiles_[TILE][row], static_cast<const char*>(from) + row * row_bytes, 64);
  }
  template <int TILE>
  static void store(void* to, Size row_bytes) {
    for (Size row = 0; row < tile_side; ++row)
      std::memcpy(static_cast<char*>(to) + row * row_bytes, tiles_[TILE][row], 64);
  }
  template <int SUMS, int A, int B>
  static void multiply() {
    using V = Vector<float>;
    for (Size row = 0; row < tile_side; ++row) {
      V even = V::zero(), odd = V::zero();
      for (Size k = 0; k < tile_side; ++k) {
        const Pairs<V> a = broadcast_pair<V>(tiles_[A][row] + 2 * k);
        const Pairs<V> b = load_pairs<V>(tiles_[B][k]);
        even = multiply_add(a.first, b.first, even);
        odd = multiply_add(a.second, b.second, odd);
      }
      float* const sums = static_cast<float*>(static_cast<void*>(tiles_[SUMS][row]));
      (V::load(sums) + (even + odd)).store(sums);
    }
  }

 private:
  alignas(64) static thread_local std::uint16_t tiles_[8][tile_side][32];
};

alignas(64) thread_local std::uint16_t EmulatedTiles::tiles_[8][tile_side][32];

// ROWS x COLUMNS tiles of sums, over all of k.
template <class Tiles, int ROWS, int COLUMNS>
inline void multiply_some_tiles(const TileProduct& q, Size tile) {
  constexpr Size number = sizeof(std::uint16_t);
  const Size side = tile_side;
  const std::uint16_t* a = q.a + tile * q.a_tile;
  const std::uint16_t* b = q.b;
  const float* const init = q.init + tile * q.init_tile;
  float* const c = q.c + tile * q.c_tile;
  const Size init_bytes = q.init_row * Size{sizeof(float)}, c_bytes = q.c_row * Size{sizeof(float)};
  Tiles::template load<0>(init, init_bytes);
  if constexpr (COLUMNS == 2) Tiles::template load<1>(init + side, init_bytes);
  if constexpr (ROWS == 2) Tiles::template load<2>(init + q.init_tile, init_bytes);
  if constexpr (ROWS == 2 && COLUMNS == 2)
    Tiles::template load<3>(init + q.init_tile + side, init_bytes);
  for (Size block = 0; block < q.blocks; ++block, a += q.a_block, b += side * q.b_pair) {
    Tiles::template load<6>(b, q.b_pair * number);
    Tiles::template load<4>(a, q.a_row * number);
    Tiles::template multiply<0, 4, 6>();
    if constexpr (COLUMNS == 2) {
      Tiles::template load<7>(b + 2 * side, q.b_pair * number);
      Tiles::template multiply<1, 4, 7>();
    }
    if constexpr (ROWS == 2) {
      Tiles::template load<5>(a + q.a_tile, q.a_row * number);
      Tiles::template multiply<2, 5, 6>();
    }
    if constexpr (ROWS == 2 && COLUMNS == 2) Tiles::template multiply<3, 5, 7>();
  }
  Tiles::template store<0>(c, c_bytes);
  if constexpr (COLUMNS == 2) Tiles::template store<1>(c + side, c_bytes);
  if constexpr (ROWS == 2) Tiles::template store<2>(c + q.c_tile, c_bytes);
  if constexpr (ROWS == 2 && COLUMNS == 2) Tiles::template store<3>(c + q.c_tile + side, c_bytes);
}

template <class Tiles, int COLUMNS>
inline void multiply_columns(const TileProduct& q) {
  Size tile = 0;
  for (; tile + 1 < q.row_tiles; tile += 2) multiply_some_tiles<Tiles, 2, COLUMNS>(q, tile);
  if (tile < q.row_tiles) multiply_some_tiles<Tiles, 1, COLUMNS>(q, tile);
}

template <class Tiles>
void multiply_tiles(const TileProduct& q) {
  if (q.column_tiles == 2) {
    multiply_columns<Tiles, 2>(q);
  } else {
    multiply_columns<Tiles, 1>(q);
  }
}

template <class Tiles>
constexpr TileFunctions tile_functions = {Tiles::configure, multiply_tiles<Tiles>, Tiles::release};
constexpr const TileFunctions* amx_tiles = &tile_functions<AmxTiles>;
constexpr const TileFunctions* emulated_tiles = &tile_functions<EmulatedTiles>;

#else

constexpr const TileFunctions *amx_tiles = nullptr, *emulated_tiles = nullptr;

#endif

}  // namespace
}  // namespace pyrnn
