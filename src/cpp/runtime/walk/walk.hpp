// One layer in one direction over time: the forward pass, and back-propagation through time.
#pragma once

#include "runtime/layout/saved_values.hpp"
#include "runtime/walk/gradient_sums.hpp"
#include "runtime/walk/noise.hpp"

namespace pyrnn {

template <class T>
struct Forward {
  const CellWeights<T>* weights;
  const Schedule* schedule;
  InputRows<T> x;
  const T* h0;      // (batch, O)
  const T* inner0;  // (inner states, batch, H)
  T* y;             // (rows, O), row by row
  Size y_row;
  T* inner_last;  // (inner states, batch, H)
  Noise<T> noise;
};

// Runs the forward pass; fills `saved` if given.
template <class T>
void walk_forward(const Forward<T>& call, SavedValues<T>* saved);

template <class T>
struct Backward {
  LayerInputs<T> inputs;
  const T* dy;  // (rows, O)
  Size dy_row;
  const T* dh_last;      // (batch, O)
  const T* dinner_last;  // (inner states, batch, H)
  T* dx;                 // (rows, I), or null
  T* dh0;                // may be dh_last
  T* dinner0;            // may be dinner_last
  Noise<T> noise;
};

// Uses `saved` up: gradients of pre-activations take the place of the gates. The gradients of the
// parameters go to `sums`; of several segments of a sequence, the last comes first.
template <class T>
void walk_backward(const Backward<T>& call, SavedValues<T>& saved, GradientSums<T>& sums);

extern template void walk_forward(const Forward<float>&, SavedValues<float>*);
extern template void walk_forward(const Forward<double>&, SavedValues<double>*);
extern template void walk_backward(const Backward<float>&, SavedValues<float>&,
                                   GradientSums<float>&);
extern template void walk_backward(const Backward<double>&, SavedValues<double>&,
                                   GradientSums<double>&);

}  // namespace pyrnn
