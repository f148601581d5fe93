// Truncated back-propagation through time by lag.
//
// Window w takes in the losses of steps [w k1, (w + 1) k1) and goes back to step (w + 1) k1 - k2,
// as far as the sequence has these steps: the last window of a T that is no multiple of k1 begins
// at a later lag, and reaches back no further than if it were whole. Position (w + 1) k1 - 1 - lag
// of every window is taken at once: each lag is one large product for all windows, and windows do
// not wait for each other. The gradients of a step's pre-activations add up over the windows that
// reach it, so that the gradients of the weights are the same large products as without truncation.
#pragma once

#include <vector>

#include "runtime/walk/walk.hpp"

namespace pyrnn {

template <class T>
struct WindowLayer {
  LayerInputs<T> inputs;
  const SavedValues<T>* saved;
  const T* mask;  // (rows, O) that y was multiplied with on its way up, or null
  Gradients<T> gradients;
  Noise<T> noise;
};

// Sequences that have ended before a position have no rows there: their gradients begin at their
// own last step.
//
// layers: lowest first, of one schedule that goes forward in time. dy (rows, O) of the highest; dx
// (rows, I) of the lowest, or null.
template <class T>
void walk_windows(const std::vector<WindowLayer<T>>& layers, const T* dy, Size dy_row, T* dx,
                  Size k1, Size k2);

extern template void walk_windows(const std::vector<WindowLayer<float>>&, const float*, Size,
                                  float*, Size, Size);
extern template void walk_windows(const std::vector<WindowLayer<double>>&, const double*, Size,
                                  double*, Size, Size);

}  // namespace pyrnn
