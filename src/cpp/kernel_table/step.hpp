// One time step of a cell, forward and backward.
#pragma once

#include "kernel_table/activations.hpp"
#include "kernel_table/cell_shape.hpp"
#include "kernel_table/product.hpp"
#include "kernel_table/rows.hpp"

namespace pyrnn {

// One time step of a cell over rows x panels of units: product, then the pointwise arithmetic.
template <class T>
struct StepForward {
  Product<T> product;  // onto the pre-activations; of no width where nothing is to be added
  T* gates;            // (rows, slots * padded units): in z, out what backward needs
  Size gates_row;
  const T* h_prev;  // (rows, units); read by cells whose h goes past the product
  Size h_prev_row;
  T* h_next;
  Size h_next_row;
  const T* inner_prev;  // the states after h: (rows, padded units) each
  T* inner_next;
  Size inner_row, inner_prev_state, inner_next_state;  // between rows; between states
  T* u;  // (rows, padded units): what the second product takes
  Size u_row;
  const T* unit;  // (unit blocks, padded units): parameters that act on units
  Size unit_block;
  const Activations<T>* activations;
  Size rows, units;
  Size panel_begin, panel_end;
  bool keep;  // whether `gates` is to hold what backward needs
};

// One time step back, pointwise: gates become gradients of pre-activations.
template <class T>
struct StepBackward {
  const T* gates;  // what forward kept
  T* dgates;       // may be `gates`
  Size gates_row, dgates_row;
  const T* h_prev;
  Size h_prev_row;
  const T* inner_prev;
  Size inner_row, inner_prev_state;
  const T* dy;  // (rows, units), or null
  Size dy_row;
  T* dh;      // (rows, padded units): in dh', out what goes past the product
  T* dinner;  // gradients of the states after h, in place
  Size d_row, dinner_state;
  const T* du;      // (rows, padded units), in the half of the step before the second product
  const T* unit;    // (unit blocks, padded units)
  T* dunit;         // (rows, unit blocks, padded units), added to
  Size unit_block;  // between blocks of both
  const Activations<T>* activations;
  T* scratch;  // (scratch blocks, padded units)
  Size rows, units;
  Size panel_begin, panel_end;
};

// `first` halves belong to cells with a second product: what is before it.
template <class T>
struct CellKernels {
  CellShape shape;
  void (*forward)(const StepForward<T>&);
  void (*backward)(const StepBackward<T>&);
  void (*forward_first)(const StepForward<T>&);
  void (*backward_first)(const StepBackward<T>&);
};

}  // namespace pyrnn
