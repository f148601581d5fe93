// Small blocks transposed in registers, with the compiler's own 16-byte vectors.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernel_table.hpp"

namespace pyrnn {
namespace {

template <class T>
struct Block;

template <>
struct Block<float> {
  typedef float Row __attribute__((vector_size(16)));
  static constexpr Size size = 4;

  template <int A, int B, int C, int D>
  static Row pick(Row a, Row b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, A, B, C, D);
#else
    typedef std::int32_t Places __attribute__((vector_size(16)));
    return __builtin_shuffle(a, b, Places{A, B, C, D});
#endif
  }

  static void transpose(Row (&rows)[4]) {
    const Row low01 = pick<0, 4, 1, 5>(rows[0], rows[1]);
    const Row low23 = pick<0, 4, 1, 5>(rows[2], rows[3]);
    const Row high01 = pick<2, 6, 3, 7>(rows[0], rows[1]);
    const Row high23 = pick<2, 6, 3, 7>(rows[2], rows[3]);
    rows[0] = pick<0, 1, 4, 5>(low01, low23);
    rows[1] = pick<2, 3, 6, 7>(low01, low23);
    rows[2] = pick<0, 1, 4, 5>(high01, high23);
    rows[3] = pick<2, 3, 6, 7>(high01, high23);
  }
};

template <>
struct Block<double> {
  typedef double Row __attribute__((vector_size(16)));
  static constexpr Size size = 2;

  static void transpose(Row (&rows)[2]) {
    const Row first = rows[0], second = rows[1];
    rows[0] = Row{first[0], second[0]};
    rows[1] = Row{first[1], second[1]};
  }
};

// to[j, i] = from[i, j], i and j in [0, Block<T>::size)
template <class T>
inline void transpose_block(const T* from, Size from_row, T* to, Size to_row) {
  constexpr Size size = Block<T>::size;
  typename Block<T>::Row rows[size];
#pragma GCC unroll 4
  for (Size i = 0; i < size; ++i) std::memcpy(&rows[i], from + i * from_row, sizeof(rows[i]));
  Block<T>::transpose(rows);
#pragma GCC unroll 4
  for (Size i = 0; i < size; ++i) std::memcpy(to + i * to_row, &rows[i], sizeof(rows[i]));
}

}  // namespace
}  // namespace pyrnn
