// C = A B + bias for a plain B: packed on the way, by whoever multiplies with it, where it is used
// once; or packed before.
#pragma once

#include <algorithm>

#include "runtime/layout/matrix_product.hpp"
#include "runtime/layout/narrow_rows.hpp"
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

// In pieces of rows, or of panels where few rows take long.
template <class T>
void multiply_in_pieces(const Kernels<T>& kernels, const Product<T>& whole) {
  const Range panels{whole.panel_begin, whole.panel_end};
  const Size panel_products = whole.k_inner * whole.c_panel;
  in_pieces({0, whole.rows}, panel_products * panels.size(), tuning::few_rows, [&](Range rows) {
    Product<T> product = of_some_rows(whole, rows);
    NarrowRows<T> narrow;
    narrow.make(kernels, product);
    in_pieces(panels, panel_products * rows.size(), 1, [&](Range some) {
      set_panels(product, some);
      kernels.product(product);
    });
  });
}

// Some of the rows and of the columns, which begin at a whole vector. Splitting k leaves each
// chain of multiply-adds as it is: sums go on where they were.
template <class T>
void multiply_some(const Kernels<T>& kernels, const PlainProduct<T>& q, Range rows, Range columns) {
  const Size block_numbers =
      (q.rows > tuning::few_rows ? tuning::bytes_for_many_rows : tuning::bytes_for_few_rows) /
      Size{sizeof(T)};
  const Size panel = panel_vectors * kernels.lanes;
  const Size k_block = std::min(q.k, block_numbers / panel);
  const Size at_once = std::max<Size>(1, block_numbers / (k_block * panel)) * panel;
  Buffer<T> packed(k_block * std::min(at_once, quotient_up(columns.size(), panel) * panel));
  Product<T> product{};
  const Size b_row = q.transposed ? q.k : q.columns;
  const auto multiply_block = [&](Size k, Size first) {
    if (k > 0 || first > columns.begin) check_interrupts();
    set_matrix(product, packed.data(), std::min(k_block, q.k - k),
               std::min(at_once, columns.end - first), kernels.lanes);
    read_from(product, q.a + rows.begin * q.k + k, q.k);
    write_to(product, q.c + rows.begin * q.columns + first, q.columns, rows.size());
    if (k > 0) go_on_in_place(product);
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
  const Size lanes = kernels.lanes, thread_rows = quotient_up(q.rows, threads);
  const Size by_rows = (thread_rows + tuning::packing_rows) * vectors * lanes +
                       thread_rows * tuning::fetching_columns;
  const Size by_columns = (q.rows + tuning::packing_rows) * quotient_up(vectors, threads) * lanes +
                          q.rows * tuning::fetching_columns;
  if (by_rows < by_columns) {
    parallel_on(threads, q.rows, 1,
                [&](Range rows) { multiply_some(kernels, q, rows, {0, q.columns}); });
  } else {
    parallel_on(threads, q.columns, kernels.lanes,
                [&](Range columns) { multiply_some(kernels, q, {0, q.rows}, columns); });
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

// B (k, columns), packed for products of bfloat16.
template <class T>
Panels<T> pack_for_bfloat16(const Kernels<T>& kernels, const T* b, Size k, Size columns) {
  Buffer<T> packed(quotient_up(columns, kernels.lanes) * kernels.lanes * k);
  kernels.pack_matrix(b, columns, k, columns, false, packed.data());
  return {kernels, std::move(packed), Storage::bfloat16_pairs,
          PanelShape{k, panel_vectors, quotient_up(columns, kernels.lanes)}};
}

// The same for a B that `pack_transposed` gave; that of `q` is not looked at. Threads share the
// panels of few rows, of which each core can keep its own.
template <class T>
void multiply_packed(const Kernels<T>& kernels, const PlainProduct<T>& q, const Panels<T>& b) {
  Product<T> whole{};
  set_matrix(whole, nullptr, q.k, q.columns, kernels.lanes);
  b.set(whole);
  read_from(whole, q.a, q.k);
  write_to(whole, q.c, q.columns, q.rows);
  whole.bias = q.bias;
  const int threads =
      threads_for((q.rows + tuning::reading_rows) * q.k * q.columns, tuning::packed_product_grain);
  const Size by_rows = (quotient_up(q.rows, threads) + tuning::reading_rows) * whole.vectors;
  const Size by_panels =
      (q.rows + tuning::reading_rows) * quotient_up(whole.panel_end, threads) * panel_vectors;
  if (by_rows < by_panels) {
    parallel_on(threads, q.rows, 1,
                [&](Range rows) { multiply_in_pieces(kernels, of_some_rows(whole, rows)); });
  } else {
    parallel_on(threads, whole.panel_end, 1, [&](Range panels) {
      Product<T> product = whole;
      set_panels(product, panels);
      multiply_in_pieces(kernels, product);
    });
  }
}

}  // namespace pyrnn
