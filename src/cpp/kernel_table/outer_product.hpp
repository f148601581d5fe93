// Sums over rows: gradients of weights.
#pragma once

#include "kernel_table/rows.hpp"
#include "kernel_table/storage.hpp"
#include "numerics.hpp"

namespace pyrnn {

using numerics::blocks_together, numerics::sum_block;

// Rows of a matrix in the order in which a sum over them runs: `count` groups of rows, of which
// group g holds `rows[g]` rows from row `first[g]` on.
struct RowGroups {
  const Size* first;
  const Size* rows;
  Size count;
};

// One B of an outer product, and its C.
template <class T>
struct OuterSide {
  int slot_begin, slot_end;  // slots of A that count
  const T* b;
  Size b_row;
  RowGroups b_groups;  // pairs off with A's: same numbers of rows
  const T* b_last;     // the last group's matrix, if it is another one
  Size b_last_row;
  Size columns;  // of B and C
  T* c;
  Size c_row;
  const T* from;  // what the sums go on from, in rows like C's: the block's rows before; or null
  bool adds;      // whether the sums are then added to C
};

constexpr int max_outer_sides = 2;

// C[m, :] (+)= sum over rows r of A[r, m] B[r, :], at most a block of them, in the order of their
// groups, for each side. A's rows are pre-activations; the units of a panel's slot are the rows
// gate * units + unit of C.
template <class T>
struct OuterProduct {
  const T* a;
  Size a_row;
  RowGroups a_groups;
  int slots;          // of a row of A
  Size unit_vectors;  // vectors of units a panel; one where there are several slots
  int gate_of_slot[max_slots];
  Size units;
  Size panel_begin, panel_end;  // panels of A; of several slots, whole blocks of them
  OuterSide<T> sides[max_outer_sides];
  int side_count;
  Compute compute;
  const TileFunctions* tiles;  // as of products of bfloat16
  T* scratch;                  // outer_scratch(columns of one side, of the other) numbers
};

}  // namespace pyrnn
