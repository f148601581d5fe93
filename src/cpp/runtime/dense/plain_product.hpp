// C = A B + bias for a plain B: packed on the way, by whoever multiplies with it, where it is used
// once; or packed before.
#pragma once

#include <algorithm>

#include "runtime/layout/int8_rows.hpp"
#include "runtime/layout/matrix_product.hpp"
#include "runtime/layout/panels.hpp"
#include "runtime/memory/buffer.hpp"
#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {

// Row-major matrices; B is (k, columns), or (columns, k) if transposed.
template <class T>
struct PlainProduct {
  const T* a;  // (rows, k)
  const T* b;
  bool transposed;
  const T* bias;  // (columns in whole vectors,), or null
  T* c;           // (rows, columns)
  Size rows, k, columns;
};

// All of it at once, if B is in panels.
template <class T>
Product<T> whole_product(const Kernels<T>& kernels, const PlainProduct<T>& q) {
  Product<T> whole{};
  set_matrix(whole, q.b, q.k, q.columns, kernels.lanes);
  whole.a = q.a;
  whole.a_row = q.k;
  whole.bias = q.bias;
  whole.c = q.c;
  whole.c_row = q.columns;
  whole.rows = q.rows;
  return whole;
}

// In pieces of rows, or of panels where few rows take long.
template <class T>
void multiply_in_pieces(const Kernels<T>& kernels, const Product<T>& whole) {
  const Range panels{whole.panel_begin, whole.panel_end};
  const Size panel_products = whole.k_inner * whole.c_panel;
  in_pieces({0, whole.rows}, panel_products * panels.size(), tuning::few_rows, [&](Range rows) {
    Product<T> product = whole;
    product.a += rows.begin * whole.a_row;
    product.c += rows.begin * whole.c_row;
    product.init += rows.begin * whole.init_row;
    product.rows = rows.size();
    Int8Rows<T> quantized;
    quantized.quantize(kernels, product);
    in_pieces(panels, panel_products * rows.size(), 1, [&](Range some) {
      product.panel_begin = some.begin;
      product.panel_end = some.end;
      kernels.product(product);
    });
  });
}

// A share of the rows and of the columns, which begin at a whole vector. Splitting k leaves each
// chain of multiply-adds as it is: sums go on where they were.
template <class T>
void multiply_share(const Kernels<T>& kernels, const PlainProduct<T>& q, Range rows,
                    Range columns) {
  const Size block_numbers =
      (q.rows > tuning::few_rows ? tuning::bytes_for_many_rows : tuning::bytes_for_few_rows) /
      Size{sizeof(T)};
  const Size panel = panel_vectors * kernels.lanes;
  const Size k_block = std::min(q.k, block_numbers / panel);
  const Size at_once = std::max<Size>(1, block_numbers / (k_block * panel)) * panel;
  Buffer<T> packed(k_block * std::min(at_once, quotient_up(columns.size(), panel) * panel));
  Product<T> product = whole_product(kernels, q);
  product.b = packed.data();
  product.rows = rows.size();
  const Size b_row = q.transposed ? q.k : q.columns;
  const auto multiply_block = [&](Size k, Size first) {
    if (k > 0 || first > columns.begin) check_interrupts();
    product.k_inner = std::min(k_block, q.k - k);
    product.columns = std::min(at_once, columns.end - first);
    product.vectors = quotient_up(product.columns, kernels.lanes);
    product.panel_end = quotient_up(product.vectors, panel_vectors);
    product.a = q.a + rows.begin * q.k + k;
    product.c = q.c + rows.begin * q.columns + first;
    if (k == 0) {
      product.init = no_sums<T>();
      product.init_row = product.init_panel = 0;
    } else {
      product.init = product.c;
      product.init_row = product.c_row;
      product.init_panel = product.c_panel;
    }
    const bool last = k + product.k_inner == q.k;
    product.bias = last && q.bias != nullptr ? q.bias + first : nullptr;
    const T* const b = q.b + (q.transposed ? first * b_row + k : k * b_row + first);
    kernels.pack_matrix(b, b_row, product.k_inner, product.columns, q.transposed, packed.data());
    multiply_in_pieces(kernels, product);
  };
  // The smaller one of A and C is passed through more often.
  if (q.k > q.columns) {
    for (Size k = 0; k < q.k; k += k_block)
      for (Size first = columns.begin; first < columns.end; first += at_once)
        multiply_block(k, first);
  } else {
    for (Size first = columns.begin; first < columns.end; first += at_once)
      for (Size k = 0; k < q.k; k += k_block) multiply_block(k, first);
  }
}

// Threads share the columns, whose packing they share then too, unless they are few: then the rows.
template <class T>
void multiply(const Kernels<T>& kernels, const PlainProduct<T>& q) {
  const Size vectors = quotient_up(q.columns, kernels.lanes);
  const Size work = (q.rows + tuning::packing_rows) * q.k * q.columns;
  const int threads = threads_for(work, tuning::product_grain);
  const Size lanes = kernels.lanes, share = quotient_up(q.rows, threads);
  const Size by_rows =
      (share + tuning::packing_rows) * vectors * lanes + share * tuning::fetching_columns;
  const Size by_columns = (q.rows + tuning::packing_rows) * quotient_up(vectors, threads) * lanes +
                          q.rows * tuning::fetching_columns;
  if (by_rows < by_columns) {
    parallel_on(threads, q.rows, 1,
                [&](Range rows) { multiply_share(kernels, q, rows, {0, q.columns}); });
  } else {
    parallel_on(threads, q.columns, kernels.lanes,
                [&](Range columns) { multiply_share(kernels, q, {0, q.rows}, columns); });
  }
}

// B (columns, k), transposed, packed and stored so.
template <class T>
Panels<T> pack_transposed(const Kernels<T>& kernels, const T* b, Size columns, Size k,
                          Storage storage) {
  Buffer<T> packed(quotient_up(columns, kernels.lanes) * kernels.lanes * k);
  const Size panel = panel_vectors * kernels.lanes;
  in_pieces({0, columns}, k * tuning::products_of_a_copy, panel, [&](Range some) {
    kernels.pack_matrix(b + some.begin * k, k, k, some.size(), true,
                        packed.data() + some.begin * k);
  });
  return {kernels, std::move(packed), storage,
          PanelShape{k, panel_vectors, quotient_up(columns, kernels.lanes)}};
}

// The same for a B that `pack_transposed` gave; that of `q` is not looked at. Threads share the
// panels of few rows, of which each core can keep its own.
template <class T>
void multiply_packed(const Kernels<T>& kernels, const PlainProduct<T>& q, const Panels<T>& b) {
  Product<T> whole = whole_product(kernels, q);
  b.set(whole);
  const int threads =
      threads_for((q.rows + tuning::reading_rows) * q.k * q.columns, tuning::packed_product_grain);
  const Size by_rows = (quotient_up(q.rows, threads) + tuning::reading_rows) * whole.vectors;
  const Size by_panels =
      (q.rows + tuning::reading_rows) * quotient_up(whole.panel_end, threads) * panel_vectors;
  if (by_rows < by_panels) {
    parallel_on(threads, q.rows, 1, [&](Range rows) {
      Product<T> product = whole;
      product.a += rows.begin * q.k;
      product.c += rows.begin * q.columns;
      product.rows = rows.size();
      multiply_in_pieces(kernels, product);
    });
  } else {
    parallel_on(threads, whole.panel_end, 1, [&](Range panels) {
      Product<T> product = whole;
      product.panel_begin = panels.begin;
      product.panel_end = panels.end;
      multiply_in_pieces(kernels, product);
    });
  }
}

}  // namespace pyrnn
