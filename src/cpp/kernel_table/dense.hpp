// What layers without a loop over time, and optimisers, hand to their kernels.
#pragma once

#include "kernel_table/rows.hpp"

namespace pyrnn {

// y[row, c] = (sum over taps of x[row, tap, c] weight[tap, c]) + bias[c]. Weights and bias are in
// whole vectors; channels lie side by side.
template <class T>
struct Depthwise {
  const T* x;
  Size x_row, x_tap;
  const T* weight;
  Size weight_row;
  const T* bias;
  T* y;
  Size y_row;
  Size rows, taps, channels;
};

// What a step of Adam takes: each number is computed in double, and only then rounded. `fresh`
// numbers are 1 - beta: from a beta that is rounded already they would be off by up to all of it.
template <class T>
struct Adam {
  T beta1, fresh1, beta2, fresh2;
  T step;       // lr / (1 - beta1^t)
  T unit_root;  // 1 / sqrt(1 - beta2^t)
  T eps;
  T weight_decay;  // added to the gradient
  T shrink;        // what p is multiplied with, where weight decay is apart from the gradient
};

}  // namespace pyrnn
