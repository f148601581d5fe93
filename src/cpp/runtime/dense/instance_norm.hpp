// Normalisation over time, each channel of each sequence for itself.
#pragma once

#include "kernel_table.hpp"
#include "runtime/dense/frames.hpp"

namespace pyrnn {

// y = weight (x - mean) / sqrt(variance + eps) + bias, in float64; mean and variance are
// (rows, channels). weight and bias may be null. y's channels lie side by side.
template <class T>
void instance_norm(const Kernels<T>& kernels, const Frames<const T>& x, Size channels,
                   const T* weight, const T* bias, double eps, const Frames<T>& y, double* mean,
                   double* variance);

}  // namespace pyrnn
