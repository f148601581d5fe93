// A shift and a factor for each channel, as normalisation with known statistics is.
#pragma once

#include "kernel_table.hpp"

namespace pyrnn {

// y = (x - mean) factor + shift, each number of a row (channels,) with its own.
template <class T>
void scale_channels(const T* x, Size rows, Size channels, const T* mean, const T* factor,
                    const T* shift, T* y);

}  // namespace pyrnn
