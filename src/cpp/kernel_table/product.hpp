// Products of packed weights, and how these are packed.
#pragma once

#include "kernel_table/cell_shape.hpp"
#include "kernel_table/rows.hpp"
#include "kernel_table/storage.hpp"

namespace pyrnn {

// C[m, :] = (init[m, :] + sum over k of A[m, k] B[k, :]) + bias, for packed B, over rows x panels.
// k runs over `k_outer` spans of `k_inner`; those of A lie `a_outer` apart.
// Every element is one chain of multiply-adds in the order of k, whatever the shape of the call.
// The bias comes last: a large one costs one rounding at its magnitude, not one for each k.
template <class T>
struct Product {
  const T* a;
  Size a_row, a_outer;
  const void* b;  // panels of (k, width * lanes), one after the other, as pack_* leave them
  Storage storage;
  Int8Operands<T> int8;      // in place of A, where B is int8; k_outer is 1 then
  Bfloat16Operand bfloat16;  // in place of A, where B is pairs of bfloat16; k_outer is 1 then
  Size width;                // vectors a panel, 1..panel_vectors; the last panel may be narrower
  Size vectors;              // vectors of all panels
  const T* init;
  Size init_row, init_panel;
  T* c;
  Size c_row, c_panel;
  Size columns;  // valid columns of C; those past it are neither read nor written
  Size rows, k_outer, k_inner;
  Size panel_begin, panel_end;
  // A row like C's, in whole vectors, or null
  const T* bias = nullptr;
  // The same for further groups of rows, so far apart in A, C and init.
  Size groups = 1, a_group = 0, c_group = 0, init_group = 0;
  // Whether C is a row of pre-activations of several slots, of which each panel has one vector:
  // those of a panel lie a block apart then, and c_panel and init_panel are from block to block.
  bool blocks = false;
  // Whether the last panels come first. Of two products with the same weights, the second finds in
  // cache what the first has read last.
  bool last_first = false;
};

// Packing of a weight matrix into the panels of `Product::b`, for the forward pass (units as
// columns of B: k = input) and, unless `back` is null, the backward pass (units as rows: k =
// pre-activations). `back` are two matrices where there are several slots: that of the whole blocks
// of units, then that of the units that are left. The source is (gates * units, columns) in torch's
// layout; `slots` are [slot_begin, slot_end), and panels of units [panel_begin, panel_end) are
// packed of all.
template <class T>
struct PackWeights {
  const T* source;
  Size source_row;
  Size units, columns;
  CellShape shape;
  int slot_begin, slot_end;
  Size panel_begin, panel_end;
  T* forward;
  T* back;
};

}  // namespace pyrnn
