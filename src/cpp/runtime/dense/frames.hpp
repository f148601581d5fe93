// Sequences of frames, whatever the order of their axes in memory.
#pragma once

#include "kernel_table.hpp"

namespace pyrnn {

// Where they are, and how far the next step, sequence and channel lie.
template <class T>
struct Frames {
  T* data;
  Size steps, rows;
  Size step, row, channel;
};

}  // namespace pyrnn
