// Tiles of bfloat16 (AMX), and float32 as the sum of three bfloat16 for them.
//
// A tile holds 16 rows of 64 bytes: of sums, 16 float32 a row; of a left factor, 32 bfloat16, one
// for each k; of a right factor, those of two k for each of 16 columns, so that its rows are pairs
// of k. Registers: 0 to 3 are sums, 4 and 5 left factors, 6 and 7 right ones.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "isa/simd/avx512.hpp"

namespace pyrnn {
namespace {

constexpr std::ptrdiff_t tile_side = 16;   // rows of a tile, and columns of one of sums
constexpr std::ptrdiff_t tile_depth = 32;  // k of a factor
constexpr std::ptrdiff_t tile_row = 64;    // bytes
constexpr std::ptrdiff_t tile_bytes = tile_side * tile_row;
constexpr int third_count = 3;

// To be called before tiles are used and after, by each thread.
inline void begin_tiles() {
  struct {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } shapes;
  static_assert(sizeof(shapes) == 64);
  _tile_loadconfig(&shapes);
}
inline void end_tiles() { _tile_release(); }

// Between memory that is written plainly and tiles that read it, or the other way round: some
// compilers do not know that tiles touch memory.
inline void tile_barrier() { __asm__ volatile("" ::: "memory"); }

// ROWS x COLUMNS tiles of sums, 1 or 2 each: row 0 is in registers 0 and 1, row 1 in 2 and 3.
template <int ROWS, int COLUMNS>
inline void zero_sums() {
  _tile_zero(0);
  if constexpr (COLUMNS == 2) _tile_zero(1);
  if constexpr (ROWS == 2) _tile_zero(2);
  if constexpr (ROWS == 2 && COLUMNS == 2) _tile_zero(3);
}

// Tile (i, j) at c[i] + j tiles' columns, rows `row_bytes` apart.
template <int ROWS, int COLUMNS>
inline void load_sums(const float* const* c, std::ptrdiff_t row_bytes) {
  _tile_loadd(0, c[0], row_bytes);
  if constexpr (COLUMNS == 2) _tile_loadd(1, c[0] + tile_side, row_bytes);
  if constexpr (ROWS == 2) _tile_loadd(2, c[1], row_bytes);
  if constexpr (ROWS == 2 && COLUMNS == 2) _tile_loadd(3, c[1] + tile_side, row_bytes);
}
template <int ROWS, int COLUMNS>
inline void store_sums(float* const* c, std::ptrdiff_t row_bytes) {
  _tile_stored(0, c[0], row_bytes);
  if constexpr (COLUMNS == 2) _tile_stored(1, c[0] + tile_side, row_bytes);
  if constexpr (ROWS == 2) _tile_stored(2, c[1], row_bytes);
  if constexpr (ROWS == 2 && COLUMNS == 2) _tile_stored(3, c[1] + tile_side, row_bytes);
}

template <int ROWS>
inline void load_left(const char* a, std::ptrdiff_t apart) {
  _tile_loadd(4, a, tile_row);
  if constexpr (ROWS == 2) _tile_loadd(5, a + apart, tile_row);
}
template <int COLUMNS>
inline void load_right(const char* b, std::ptrdiff_t apart) {
  _tile_loadd(6, b, tile_row);
  if constexpr (COLUMNS == 2) _tile_loadd(7, b + apart, tile_row);
}
template <int ROWS, int COLUMNS>
inline void multiply_tiles() {
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (COLUMNS == 2) _tile_dpbf16ps(1, 4, 7);
  if constexpr (ROWS == 2) _tile_dpbf16ps(2, 5, 6);
  if constexpr (ROWS == 2 && COLUMNS == 2) _tile_dpbf16ps(3, 5, 7);
}

// x to the nearest bfloat16, as a float32
inline VectorF nearest_bfloat(VectorF x) {
  const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x8000));
  return {_mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(-0x10000)))};
}

// x as the sum of three bfloat16, the first of them the largest: 8 bits each of its 24.
struct Thirds {
  VectorF part[third_count];

  explicit Thirds(VectorF x) {
    part[0] = nearest_bfloat(x);
    const VectorF rest = x - part[0];
    part[1] = nearest_bfloat(rest);
    part[2] = rest - part[1];
  }
};

// A row of a left factor: k of 16 numbers, then the next 16.
inline void store_left(VectorF first, VectorF second, char* to) {
  alignas(64) static constexpr std::int16_t upper[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                         23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                         45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  _mm512_store_si512(
      to, _mm512_permutex2var_epi16(_mm512_castps_si512(first.v), _mm512_load_si512(upper),
                                    _mm512_castps_si512(second.v)));
}
// A row of a right factor: the numbers of one k beside those of the next.
inline void store_right(VectorF even, VectorF odd, char* to) {
  const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(even.v), 16);
  _mm512_store_si512(to, _mm512_mask_blend_epi16(0xaaaaaaaau, low, _mm512_castps_si512(odd.v)));
}

}  // namespace
}  // namespace pyrnn
