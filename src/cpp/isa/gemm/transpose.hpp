// Rows that become columns of vectors.
#pragma once

#include <cstring>

#include "isa/gemm/product.hpp"

namespace pyrnn {
namespace {

// Numbers of 16 bytes: so many columns are transposed at once.
template <class T>
constexpr Size block_numbers = 16 / static_cast<Size>(sizeof(T));

// to[k, lane] = from[lane, k] for k in [0, count), count <= block_numbers, of the first `stored`
// lanes; all lanes and numbers are read.
template <class V>
inline void transpose_block(const typename V::Scalar* from, Size from_row, Size count, Size stored,
                            typename V::Scalar* to, Size to_row) {
  constexpr Size block = block_numbers<typename V::Scalar>;
  V columns[block];
#pragma GCC unroll 4
  for (Size i = 0; i < block; ++i)
    columns[i] = V::load_blocks(from + i * from_row, block * from_row);
  transpose_blocks(columns);
#pragma GCC unroll 4
  for (Size i = 0; i < block; ++i)
    if (i < count) store_some<V>(columns[i], to + i * to_row, stored);
}

// The same for k in [0, k_count), and zeros in lanes past the valid ones.
template <class V>
inline void transpose(const typename V::Scalar* from, Size from_row, Size valid, Size k_count,
                      typename V::Scalar* to, Size to_row, Size stored = V::lanes) {
  using T = typename V::Scalar;
  constexpr Size block = block_numbers<T>;
  Size k = 0;
  if (valid >= V::lanes)
    for (; k + block <= k_count; k += block)
      transpose_block<V>(from + k, from_row, block, V::lanes, to + k * to_row, to_row);
  // The rest by way of a buffer, as nothing may be read past the last row or column.
  for (T buffer[V::lanes * block] = {}; k < k_count; k += block) {
    const Size count = smaller(block, k_count - k);
    for (Size lane = 0; lane < smaller(valid, V::lanes); ++lane) {
      const T* const numbers = from + lane * from_row + k;
      T* const to_buffer = buffer + lane * block;
      if (count == block) {
        std::memcpy(to_buffer, numbers, block * sizeof(T));  // of a constant size: one move
      } else {
        for (Size i = 0; i < count; ++i) to_buffer[i] = numbers[i];
      }
    }
    transpose_block<V>(buffer, block, count, stored, to + k * to_row, to_row);
  }
}

// to[c, r] = from[r, c]
template <class V>
void transpose_matrix(const typename V::Scalar* from, Size from_row, Size rows, Size columns,
                      typename V::Scalar* to, Size to_row) {
  for (Size row = 0; row < rows; row += V::lanes)
    transpose<V>(from + row * from_row, from_row, rows - row, columns, to + row, to_row,
                 rows - row);
}

}  // namespace
}  // namespace pyrnn
