// The walk over time of one layer in one direction: forward, and back-propagation through time.
#pragma once

#include "runtime/gradient_sums.hpp"

namespace pyrnn {

// What the way back needs besides x, y and the first h: owned by a cache.
template <class T>
struct Kept {
  Buffer<T> gates;   // (rows, slots * padded)
  Buffer<T> inner;   // states after h: (inner states, rows, padded)
  Buffer<T> inner0;  // their first values: (inner states, batch, padded)
};

template <class T>
struct Forward {
  const CellWeights<T>* weights;
  const Schedule* schedule;
  InputRows<T> x;
  const T* h0;      // (batch, H)
  const T* inner0;  // (inner states, batch, H)
  T* y;             // (rows, H), row by row
  Size y_row;
  T* inner_last;  // (inner states, batch, H)
};

// Runs the walk; fills `kept` if given.
template <class T>
void walk_forward(const Forward<T>& call, Kept<T>* kept);

template <class T>
struct Backward {
  LayerInputs<T> inputs;
  const T* dy;  // (rows, H)
  Size dy_row;
  const T* dh_last;      // (batch, H)
  const T* dinner_last;  // (inner states, batch, H)
  T* dx;                 // (rows, I), or null
  T* dh0;
  T* dinner0;
  Gradients<T> gradients;
};

// Uses `kept` up: pre-activations' gradients take the place of the gates.
template <class T>
void walk_backward(const Backward<T>& call, Kept<T>& kept);

extern template void walk_forward(const Forward<float>&, Kept<float>*);
extern template void walk_forward(const Forward<double>&, Kept<double>*);
extern template void walk_backward(const Backward<float>&, Kept<float>&);
extern template void walk_backward(const Backward<double>&, Kept<double>&);

}  // namespace pyrnn
