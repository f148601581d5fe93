#include "runtime/dense/channels.hpp"

#include <algorithm>

#include "runtime/memory/buffer.hpp"
#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// Of few channels, the numbers of several rows count as one row, long enough for vectors.
constexpr Size least_wide = tuning::least_channels;

template <class T>
void scale_row(const T* x, Size channels, const T* mean, const T* factor, const T* shift, T* y) {
  for (Size i = 0; i < channels; ++i) y[i] = (x[i] - mean[i]) * factor[i] + shift[i];
}

template <class T>
Buffer<T> repeated(const T* of_one, Size channels, Size times) {
  Buffer<T> all(channels * times);
  for (Size time = 0; time < times; ++time)
    std::copy(of_one, of_one + channels, all.data() + time * channels);
  return all;
}

}  // namespace

template <class T>
void scale_channels(const T* x, Size rows, Size channels, const T* mean, const T* factor,
                    const T* shift, T* y) {
  const Size joined = std::clamp<Size>(least_wide / channels, 1, std::max<Size>(rows, 1));
  Buffer<T> means, factors, shifts;
  if (joined > 1) {
    means = repeated(mean, channels, joined);
    factors = repeated(factor, channels, joined);
    shifts = repeated(shift, channels, joined);
    mean = means.data(), factor = factors.data(), shift = shifts.data();
  }
  const Size size = rows * channels, wide = joined * channels;
  const auto scale_some = [&](Range mine) {
    in_pieces(mine, wide * tuning::products_of_a_copy, 1, [&](Range some) {
      for (Size row = some.begin; row < some.end; ++row)
        scale_row(x + row * wide, std::min(wide, size - row * wide), mean, factor, shift,
                  y + row * wide);
    });
  };
  parallel_on(threads_for(size, tuning::copy_grain), quotient_up(size, wide), 1, scale_some);
}

template void scale_channels(const float*, Size, Size, const float*, const float*, const float*,
                             float*);
template void scale_channels(const double*, Size, Size, const double*, const double*, const double*,
                             double*);

}  // namespace pyrnn
