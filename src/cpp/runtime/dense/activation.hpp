// Activations of layers between the recurrent ones: a function of each element.
#pragma once

#include "kernel_table.hpp"

namespace pyrnn {

// y = f(x), each of n numbers
template <class T>
void activation(const Kernels<T>& kernels, const Activation<T>& f, const T* x, T* y, Size n);

// dx = dy f'(x), each of n numbers
template <class T>
void activation_backward(const Kernels<T>& kernels, const Activation<T>& f, const T* x, const T* dy,
                         T* dx, Size n);

}  // namespace pyrnn
