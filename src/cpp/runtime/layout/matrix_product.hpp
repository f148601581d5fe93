// The kernels' arguments of products, filled in: what is read, what is written, where
// sums start; and B as columns in panels side by side, as it is wherever it is not a cell's slots.
#pragma once

#include "kernel_table.hpp"
#include "runtime/threads/range.hpp"

namespace pyrnn {

// Where sums start that start at zero: a panel of any product, and all panels and rows alike if
// init_row and init_panel are 0.
template <class T>
const T* no_sums() {
  alignas(64) static constexpr T zeros[panel_vectors * block_units<T>] = {};
  return zeros;
}

template <class T>
void start_at_zero(Product<T>& product) {
  product.init = no_sums<T>();
  product.init_row = product.init_panel = product.init_group = 0;
}

// Sums start at what C holds.
template <class T>
void go_on_in_place(Product<T>& product) {
  product.init = product.c;
  product.init_row = product.c_row;
  product.init_panel = product.c_panel;
  product.init_group = product.c_group;
}

template <class T>
void read_from(Product<T>& product, const T* a, Size a_row) {
  product.a = a;
  product.a_row = a_row;
}

template <class T>
void write_to(Product<T>& product, T* c, Size c_row, Size rows) {
  product.c = c;
  product.c_row = c_row;
  product.rows = rows;
}

template <class T>
void set_panels(Product<T>& product, Range panels) {
  product.panel_begin = panels.begin;
  product.panel_end = panels.end;
}

// The same product for some of its rows.
template <class T>
Product<T> of_some_rows(const Product<T>& whole, Range rows) {
  Product<T> product = whole;
  product.a += rows.begin * whole.a_row;
  product.c += rows.begin * whole.c_row;
  product.init += rows.begin * whole.init_row;
  product.rows = rows.size();
  return product;
}

// C's columns and the panels of B that they take: all of them. B is a plain matrix in panels, or
// one of the backward pass. Sums start at zero.
template <class T>
void set_columns(Product<T>& product, const void* packed, Size columns, Size lanes) {
  product.b = packed;
  product.width = panel_vectors;
  product.vectors = quotient_up(columns, lanes);
  product.columns = columns;
  product.c_panel = panel_vectors * lanes;
  set_panels(product, {0, quotient_up(product.vectors, panel_vectors)});
  start_at_zero(product);
}

// B (k, columns), all of it. A and C's rows are left to be set.
template <class T>
void set_matrix(Product<T>& product, const void* packed, Size k, Size columns, Size lanes) {
  set_columns(product, packed, columns, lanes);
  product.k_outer = 1;
  product.k_inner = k;
}

// A is a plain matrix, of which panels of columns count. Its rows are left to be set.
template <class T>
void set_matrix(OuterProduct<T>& product, const T* a, Size a_row, Size columns, Range panels) {
  product.a = a;
  product.a_row = a_row;
  product.slots = 1;
  product.gate_of_slot[0] = 0;
  product.unit_vectors = panel_vectors;
  product.units = columns;
  product.panel_begin = panels.begin;
  product.panel_end = panels.end;
}

}  // namespace pyrnn
