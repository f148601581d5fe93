#include "runtime/dense/chain.hpp"

#include <algorithm>
#include <cstdint>

#include "runtime/machine/flush_scope.hpp"
#include "runtime/memory/memory.hpp"
#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// Frames in memory of their own, with room for zeros around each sequence.
template <class T>
struct Room {
  Buffer<T> memory;
  Frames<T> frames;  // without the zeros
  Size before = 0, after = 0;

  Room(Size steps, Size rows, Size channels, Size zeros_before, Size zeros_after)
      : memory(numbers(zeros_before + steps + zeros_after, rows, channels)),
        before(zeros_before),
        after(zeros_after) {
    const Size row = (before + steps + after) * channels;
    frames = {memory.data() + before * channels, steps, rows, channels, row, 1};
    for (Size i = 0; i < rows; ++i) {
      T* const begin = memory.data() + i * row;
      std::fill(begin, begin + before * channels, T(0));
      std::fill(begin + (before + steps) * channels, begin + row, T(0));
    }
  }

  Frames<const T> with_zeros() const {
    const Size steps = before + frames.steps + after;
    return {memory.data(), steps, frames.rows, frames.step, frames.row, 1};
  }

 private:
  static Size numbers(Size steps, Size rows, Size channels) {
    Size size = 0, bytes = 0;
    if (__builtin_mul_overflow(steps, rows, &size) ||
        __builtin_mul_overflow(size, channels, &size) ||
        __builtin_mul_overflow(size, static_cast<Size>(sizeof(T)), &bytes))
      throw OutOfMemory(SIZE_MAX);
    return size;
  }
};

// Squares of small numbers count, as they do elsewhere: see FullScope.
template <class T>
void take_magnitude(const Kernels<T>& kernels, const Magnitude& m, const Frames<const T>& x,
                    const Frames<T>& y) {
  const Size work = m.channels * tuning::products_of_a_copy;
  const auto take_some = [&](Range mine) {
    const FullScope full;
    in_pieces(mine, work, 1, [&](Range some) {
      for (Size frame = some.begin; frame < some.end; ++frame) {
        const Size row = frame / y.steps, step = frame % y.steps;
        const T* const from = x.data + row * x.row + (m.skipped + step) * x.step;
        const T *const real = from + m.real, *const imaginary = from + m.imaginary;
        T* const to = y.data + row * y.row + step * y.step;
        for (Size i = 0; i < m.channels; ++i)
          to[i] = real[i] * real[i] + imaginary[i] * imaginary[i];
        kernels.sqrt(to, to, m.channels);
      }
    });
  };
  const Size frames = y.rows * y.steps;
  parallel_on(threads_for(frames * m.channels, tuning::copy_grain), frames, 1, take_some);
}

// x with the zeros around it, but for those that are still to be put there.
template <class T>
void pass(const Kernels<T>& kernels, const Link<T>& link, const Frames<const T>& x, Size before,
          Size after, const Frames<T>& y) {
  const Convolution<T>& c = *link.convolution;
  if (!link.magnitude) return convolve(kernels, c, x, before, after, y);
  const Room<T> spectrum(c.outputs(before + x.steps + after), x.rows, c.out, 0, 0);
  convolve(kernels, c, x, before, after, spectrum.frames);
  take_magnitude(kernels, *link.magnitude, spectrum.with_zeros(), y);
}

}  // namespace

template <class T>
Size Link<T>::outputs(Size steps) const {
  const Size given = convolution->outputs(before + steps + after);
  return magnitude ? std::max<Size>(0, given - magnitude->skipped) : given;
}

template <class T>
Size Chain<T>::outputs(Size steps) const {
  for (const Link<T>& link : links) {
    steps = link.outputs(steps);
    if (steps == 0) break;
  }
  return steps;
}

template <class T>
void convolve(const Kernels<T>& kernels, const Chain<T>& chain, const Frames<const T>& given,
              const Frames<T>& y) {
  Frames<const T> x = given;
  Size before = chain.links.front().before, after = chain.links.front().after;
  std::optional<Room<T>> held;
  for (std::size_t i = 0; i + 1 < chain.links.size(); ++i) {
    const Link<T>&link = chain.links[i], &next = chain.links[i + 1];
    const Size steps = link.convolution->outputs(before + x.steps + after) -
                       (link.magnitude ? link.magnitude->skipped : 0);
    Room<T> room(steps, x.rows, link.channels(), next.before, next.after);
    pass(kernels, link, x, before, after, room.frames);
    x = room.with_zeros();
    held.emplace(std::move(room));
    before = after = 0;
  }
  pass(kernels, chain.links.back(), x, before, after, y);
}

template struct Link<float>;
template struct Link<double>;
template struct Chain<float>;
template struct Chain<double>;
template void convolve(const Kernels<float>&, const Chain<float>&, const Frames<const float>&,
                       const Frames<float>&);
template void convolve(const Kernels<double>&, const Chain<double>&, const Frames<const double>&,
                       const Frames<double>&);

}  // namespace pyrnn
