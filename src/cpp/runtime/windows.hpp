// Truncated back-propagation through time by lag.
//
// Window w ends before step e = min((w + 1) k1, T), takes in the losses of its last k1 steps and
// goes back over k2 steps. Position e - 1 - lag of every window is taken at once: each lag is one
// large product for all windows, and windows do not wait for each other. The gradients of a step's
// pre-activations add up over the windows that reach it, so that the gradients of the weights are
// the same large products as without truncation.
#pragma once

#include <vector>

#include "runtime/walk.hpp"

namespace pyrnn {

template <class T>
struct WindowLayer {
  LayerInputs<T> inputs;
  const Kept<T>* kept;
  const T* mask;  // (rows, O) that y was multiplied with on its way up, or null
  Gradients<T> gradients;
  Noise<T> noise;
};

// layers: lowest first, of one uniform schedule. dy (rows, O) of the highest; dx (rows, I) of the
// lowest, or null.
template <class T>
void walk_windows(const std::vector<WindowLayer<T>>& layers, const T* dy, Size dy_row, T* dx,
                  Size k1, Size k2);

extern template void walk_windows(const std::vector<WindowLayer<float>>&, const float*, Size,
                                  float*, Size, Size);
extern template void walk_windows(const std::vector<WindowLayer<double>>&, const double*, Size,
                                  double*, Size, Size);

}  // namespace pyrnn
