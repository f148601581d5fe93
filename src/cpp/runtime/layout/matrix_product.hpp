// What products have in common that are not of a cell's slots: columns in panels side by side.
#pragma once

#include "kernel_table.hpp"

namespace pyrnn {

// Where sums start that start at zero: a panel of any product, and all panels and rows alike if
// init_row and init_panel are 0.
template <class T>
const T* no_sums() {
  alignas(64) static constexpr T zeros[panel_vectors * block_units<T>] = {};
  return zeros;
}

// C's columns and the panels of B that they take: all of them. B is a plain matrix in panels, or
// one of the backward pass. Sums start at zero.
template <class T>
void set_columns(Product<T>& product, const void* packed, Size columns, Size lanes) {
  product.b = packed;
  product.width = panel_vectors;
  product.vectors = quotient_up(columns, lanes);
  product.columns = columns;
  product.init = no_sums<T>();
  product.c_panel = panel_vectors * lanes;
  product.panel_begin = 0;
  product.panel_end = quotient_up(product.vectors, panel_vectors);
}

// B (k, columns), all of it. A and C's rows are left to be set.
template <class T>
void set_matrix(Product<T>& product, const void* packed, Size k, Size columns, Size lanes) {
  set_columns(product, packed, columns, lanes);
  product.k_outer = 1;
  product.k_inner = k;
}

}  // namespace pyrnn
