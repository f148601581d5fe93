// Arrays of three axes as sequences of frames, in any order of the axes.
#pragma once

#include <string>

#include "bindings/python/arrays.hpp"
#include "runtime/dense/frames.hpp"

namespace pyrnn {

// Where the axes of time, sequences and channels are.
struct Layout {
  py::ssize_t time, rows, channels;

  static Layout named(const std::string& name) {
    if (name == "time_first") return {0, 1, 2};
    if (name == "batch_first") return {1, 0, 2};
    if (name == "channels_first") return {2, 0, 1};
    throw std::invalid_argument("layout: unknown");
  }
};

inline std::string shape_of(const py::array& x) {
  return py::str(x.attr("shape")).cast<std::string>();
}

// The array itself if its numbers can be read where they are, else a copy. It has three axes.
template <class T>
py::array_t<T> readable(const py::array_t<T>& x) {
  bool readable = (x.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
  for (py::ssize_t axis = 0; axis < 3; ++axis)
    readable = readable && x.strides(axis) % static_cast<py::ssize_t>(sizeof(T)) == 0;
  return readable ? x : py::array_t<T>(x.attr("copy")());
}

// Of an array that is `readable`.
template <class T>
Frames<const T> frames_of(const py::array_t<T>& x, const Layout& layout) {
  const auto stride = [&](py::ssize_t axis) {
    return x.strides(axis) / static_cast<Size>(sizeof(T));
  };
  return {x.data(),
          x.shape(layout.time),
          x.shape(layout.rows),
          stride(layout.time),
          stride(layout.rows),
          stride(layout.channels)};
}

// A new array of frames whose channels lie side by side.
template <class T>
struct NewFrames {
  py::array_t<T> array = no_array<T>();
  Frames<T> frames;
  Layout layout;

  NewFrames(Size steps, Size rows, Size channels, const Layout& axes) : layout(axes) {
    const bool time_first = layout.time == 0;
    array = time_first ? empty<T>({steps, rows, channels}) : empty<T>({rows, steps, channels});
    frames = {array.mutable_data(),
              steps,
              rows,
              time_first ? rows * channels : channels,
              time_first ? channels : steps * channels,
              1};
  }
  // In the layout's order of axes; of channels-first, a view.
  py::array_t<T> ordered(Size channels) const {
    if (layout.time != 2) return array;
    const auto item = static_cast<py::ssize_t>(sizeof(T));
    return py::array_t<T>({frames.rows, channels, frames.steps},
                          {frames.row * item, item, frames.step * item}, array.data(), array);
  }
};

}  // namespace pyrnn
