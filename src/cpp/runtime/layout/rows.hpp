// Rows of numbers from one array into another.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernel_table.hpp"

namespace pyrnn {

// `columns` numbers of each row; from row to row the arrays go on by `from_row` and `to_row`.
template <class T>
void copy_rows(const T* from, Size from_row, T* to, Size to_row, Size rows, Size columns) {
  for (Size row = 0; row < rows; ++row)
    std::memcpy(to + row * to_row, from + row * from_row,
                static_cast<std::size_t>(columns) * sizeof(T));
}

// (rows, columns) into (rows, padded), with zeros behind.
template <class T>
void pad_rows(const T* from, Size rows, Size columns, Size padded, T* to) {
  copy_rows(from, columns, to, padded, rows, columns);
  for (Size row = 0; row < rows; ++row)
    std::fill(to + row * padded + columns, to + (row + 1) * padded, T(0));
}

}  // namespace pyrnn
