#include "runtime/dense/instance_norm.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/dense/convolution.hpp"
#include "runtime/memory/buffer.hpp"
#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// Some channels of one sequence. Sums run from step to step, whatever the vectors: so no bit
// depends on who computes which channels. At most `at_once` of them, whose sums stay near.
constexpr Size at_once = tuning::norm_channels;

template <class T>
void normalize(const T* x, Size x_step, Size steps, Size channels, const T* weight, const T* bias,
               double eps, T* y, Size y_step, double* mean, double* variance) {
  double sums[at_once], factors[at_once], shifts[at_once];
  // In pieces, as a batch norm has all rows of a batch as the steps of one sequence.
  const auto each_step = [&](const auto& work) {
    in_pieces({0, steps}, tuning::products_of_a_far_row, 1, [&](Range some) {
      for (Size step = some.begin; step < some.end; ++step) work(step);
    });
  };
  const auto over_time = [&](const auto& add) {
    std::fill(sums, sums + channels, 0.0);
    each_step([&](Size step) { add(x + step * x_step); });
  };
  over_time([&](const T* frame) {
    for (Size i = 0; i < channels; ++i) sums[i] += static_cast<double>(frame[i]);
  });
  const auto count = static_cast<double>(steps);
  for (Size i = 0; i < channels; ++i) mean[i] = sums[i] / count;
  over_time([&](const T* frame) {
    for (Size i = 0; i < channels; ++i) {
      const double centred = static_cast<double>(frame[i]) - mean[i];
      sums[i] += centred * centred;
    }
  });
  for (Size i = 0; i < channels; ++i) {
    variance[i] = sums[i] / count;
    const double scale = 1 / std::sqrt(variance[i] + eps);
    factors[i] = weight == nullptr ? scale : scale * static_cast<double>(weight[i]);
    shifts[i] = bias == nullptr ? 0.0 : static_cast<double>(bias[i]);
  }
  each_step([&](Size step) {
    const T* const frame = x + step * x_step;
    T* const out = y + step * y_step;
    for (Size i = 0; i < channels; ++i)
      out[i] = static_cast<T>((static_cast<double>(frame[i]) - mean[i]) * factors[i] + shifts[i]);
  });
}

}  // namespace

template <class T>
void instance_norm(const Kernels<T>& kernels, const Frames<const T>& given, Size channels,
                   const T* weight, const T* bias, double eps, const Frames<T>& y, double* mean,
                   double* variance) {
  Frames<const T> x = given;
  Buffer<T> copy;
  if (x.channel != 1 && channels > 1) {
    copy = channels_last(kernels, given, channels, 0, 0);
    x = {copy.data(), x.steps, x.rows, channels, x.steps * channels, 1};
  }
  const Size blocks = quotient_up(channels, at_once), work = x.steps * at_once;
  const auto normalize_some = [&](Range mine) {
    in_pieces(mine, work * tuning::products_of_a_copy, 1, [&](Range some) {
      for (Size index = some.begin; index < some.end; ++index) {
        const Size row = index / blocks, first = index % blocks * at_once;
        normalize(x.data + row * x.row + first, x.step, x.steps,
                  std::min(at_once, channels - first), weight == nullptr ? weight : weight + first,
                  bias == nullptr ? bias : bias + first, eps, y.data + row * y.row + first, y.step,
                  mean + row * channels + first, variance + row * channels + first);
      }
    });
  };
  parallel_on(threads_for(x.steps * x.rows * channels, tuning::copy_grain), x.rows * blocks, 1,
              normalize_some);
}

template void instance_norm(const Kernels<float>&, const Frames<const float>&, Size, const float*,
                            const float*, double, const Frames<float>&, double*, double*);
template void instance_norm(const Kernels<double>&, const Frames<const double>&, Size,
                            const double*, const double*, double, const Frames<double>&, double*,
                            double*);

}  // namespace pyrnn
