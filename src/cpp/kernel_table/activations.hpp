// The functions of pre-activations that a layer may choose, and the numbers that go with them.
#pragma once

#include <limits>

namespace pyrnn {

// Functions of a pre-activation, as a layer may choose them; in the order of
// reference/activations.py.
enum class Function : int {
  sigmoid,
  tanh,
  relu,
  hard_sigmoid,
  identity,
  softsign,
  leaky_relu,
  elu,
  affine,
  scaled_tanh,
  thresholded_relu,
  softplus
};
constexpr int function_count = 12;

template <class T>
struct Activation {
  Function function = Function::tanh;
  T alpha = 0, beta = 0;
};

// Those of a layer: of gates, of the candidate, and of what an LSTM's cell state passes through.
// What goes into gates and candidate is bounded to [-clip, clip] first. For layer norm: what is
// added to variances, and whether an LSTM carries the cell state that is normalised.
template <class T>
struct Activations {
  Activation<T> gate{Function::sigmoid}, candidate, output;
  T clip = std::numeric_limits<T>::infinity();
  T eps = T(1e-5);
  bool normalised_state = false;
};

}  // namespace pyrnn
