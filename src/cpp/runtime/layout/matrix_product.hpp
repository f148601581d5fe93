// Products with a plain matrix that `pack_matrix` has packed.
#pragma once

#include "kernel_table.hpp"

namespace pyrnn {

// B (k, columns), and C's columns that belong to it: all panels. A, C and where sums start are left
// to be set.
template <class T>
void set_matrix(Product<T>& product, const void* packed, Size k, Size columns, Size lanes) {
  product.b = packed;
  product.k_outer = 1;
  product.k_inner = k;
  product.width = panel_vectors;
  product.vectors = quotient_up(columns, lanes);
  product.columns = columns;
  product.init_panel = product.c_panel = panel_vectors * lanes;
  product.panel_begin = 0;
  product.panel_end = quotient_up(product.vectors, panel_vectors);
}

}  // namespace pyrnn
