// Convolution along time, with weights packed once.
#pragma once

#include "kernel_table.hpp"
#include "runtime/dense/frames.hpp"
#include "runtime/memory/buffer.hpp"

namespace pyrnn {

template <class T>
struct Convolution {
  Size channels, out, kernel, stride, dilation, channel_groups;
  bool relu;  // whether what falls below zero becomes zero
  Buffer<T> weight,
      bias;  // of each group of channels: in panels, k = tap after tap; in whole vectors

  // weight (out, channels / channel_groups, kernel), bias (out,) or null
  Convolution(const Kernels<T>& kernels, const T* plain_weight, const T* plain_bias,
              Size in_channels, Size out_channels, Size taps, Size steps_between_outputs,
              Size steps_between_taps, Size group_count, bool with_relu);

  // Whether each channel of y sees its own of x alone.
  bool is_depthwise() const {
    return channel_groups > 1 && channels == channel_groups && out == channel_groups;
  }

  // How many outputs so many steps give; none if they are fewer than the taps reach over.
  Size outputs(Size steps) const {
    const Size left = steps - (kernel - 1) * dilation - 1;
    return left < 0 ? 0 : left / stride + 1;
  }
};

// y: as many steps as x, `before` and `after` steps of zeros around it give; its channels lie side
// by side.
template <class T>
void convolve(const Kernels<T>& kernels, const Convolution<T>& convolution,
              const Frames<const T>& x, Size before, Size after, const Frames<T>& y);

// (rows, before + steps + after, channels): frames with the channels last, and zeros around them.
template <class T>
Buffer<T> channels_last(const Kernels<T>& kernels, const Frames<const T>& x, Size channels,
                        Size before, Size after);

}  // namespace pyrnn
