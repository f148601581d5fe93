#include "runtime/dense/convolution.hpp"

#include <algorithm>
#include <utility>

#include "runtime/layout/matrix_product.hpp"
#include "runtime/layout/rows.hpp"
#include "runtime/threads/parallel.hpp"
#include "runtime/threads/pieces.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// One axis of the outputs: how many there are, and how far their windows in x and they themselves
// lie apart.
struct Axis {
  Size count, x, y;
};

// The outputs as rows of a matrix. Where both axes are evenly spaced they are one.
struct Outputs {
  Axis longer, shorter;

  Outputs(Axis first, Axis second) : longer(first), shorter(second) {
    if (longer.count < shorter.count) std::swap(longer, shorter);
    if (shorter.count == 1) return;
    if (shorter.x * shorter.count == longer.x && shorter.y * shorter.count == longer.y) {
      longer = {longer.count * shorter.count, shorter.x, shorter.y};
      shorter = {1, 0, 0};
    } else if (longer.x * longer.count == shorter.x && longer.y * longer.count == shorter.y) {
      longer = {longer.count * shorter.count, longer.x, longer.y};
      shorter = {1, 0, 0};
    }
  }
  Size count() const { return longer.count * shorter.count; }
};

// Some outputs of all groups of channels: those of `panels` of each.
template <class T>
void multiply_some(const Kernels<T>& kernels, const Convolution<T>& c, Product<T> product,
                   Range panels) {
  const Size in = c.channels / c.channel_groups, out = c.out / c.channel_groups;
  const Size width = panel_vectors * kernels.lanes;
  const Size padded_out = quotient_up(out, kernels.lanes) * kernels.lanes;
  set_panels(product, panels);
  const T* const a = product.a;
  T* const y = product.c;
  const bool depthwise = c.is_depthwise();
  for (Size group = 0; depthwise && group < product.groups; ++group) {
    const Size weight_row = quotient_up(c.channels, kernels.lanes) * kernels.lanes;
    kernels.depthwise({a + group * product.a_group, product.a_row, product.a_outer, c.weight.data(),
                       weight_row, c.bias.data(), y + group * product.c_group, product.c_row,
                       product.rows, c.kernel, c.channels});
  }
  for (Size group = 0; !depthwise && group < c.channel_groups; ++group) {
    read_from(product, a + group * in, product.a_row);
    product.b = c.weight.data() + group * padded_out * c.kernel * in;
    product.bias = c.bias.data() + group * padded_out;
    write_to(product, y + group * out, product.c_row, product.rows);
    kernels.product(product);
  }
  if (!c.relu) return;
  const Size begin = panels.begin * width;
  const Size end = c.channel_groups > 1 ? c.out : std::min(panels.end * width, out);
  for (Size group = 0; group < product.groups; ++group) {
    for (Size row = 0; row < product.rows; ++row) {
      T* const numbers = y + group * product.c_group + row * product.c_row;
      for (Size i = begin; i < end; ++i) numbers[i] = numbers[i] < T(0) ? T(0) : numbers[i];
    }
  }
}

}  // namespace

template <class T>
Buffer<T> channels_last(const Kernels<T>& kernels, const Frames<const T>& x, Size channels,
                        Size before, Size after) {
  const Size steps = before + x.steps + after;
  Buffer<T> frames(x.rows * steps * channels);
  const Size work = frames.size();
  parallel_on(threads_for(work, tuning::copy_grain), x.rows, 1, [&](Range rows) {
    in_pieces(rows, steps * channels * tuning::products_of_a_copy, 1, [&](Range some) {
      for (Size row = some.begin; row < some.end; ++row) {
        T* const begin = frames.data() + row * steps * channels;
        T* const first = begin + before * channels;
        T* const end = first + x.steps * channels;
        const T* const from = x.data + row * x.row;
        std::fill(begin, first, T(0));
        if (channels == 1 || x.channel == 1) {
          if (x.step == channels) {
            std::copy(from, from + x.steps * channels, first);
          } else {
            copy_rows(from, x.step, first, channels, x.steps, channels);
          }
        } else if (x.step == 1) {
          kernels.transpose(from, x.channel, channels, x.steps, first, channels);
        } else {
          for (Size step = 0; step < x.steps; ++step)
            for (Size channel = 0; channel < channels; ++channel)
              first[step * channels + channel] = from[step * x.step + channel * x.channel];
        }
        std::fill(end, end + after * channels, T(0));
      }
    });
  });
  return frames;
}

template <class T>
Convolution<T>::Convolution(const Kernels<T>& kernels, const T* plain_weight, const T* plain_bias,
                            Size in_channels, Size out_channels, Size taps,
                            Size steps_between_outputs, Size steps_between_taps, Size group_count,
                            bool with_relu)
    : channels(in_channels),
      out(out_channels),
      kernel(taps),
      stride(steps_between_outputs),
      dilation(steps_between_taps),
      channel_groups(group_count),
      relu(with_relu) {
  const Size group_in = channels / channel_groups, group_out = out / channel_groups,
             k = kernel * group_in;
  const Size padded_out = quotient_up(group_out, kernels.lanes) * kernels.lanes;
  if (is_depthwise()) {
    const Size row = quotient_up(channels, kernels.lanes) * kernels.lanes;
    weight = Buffer<T>::zeros(kernel * row);
    bias = Buffer<T>::zeros(row);
    for (Size channel = 0; channel < channels; ++channel)
      for (Size tap = 0; tap < kernel; ++tap)
        weight.data()[tap * row + channel] = plain_weight[channel * kernel + tap];
    if (plain_bias != nullptr) std::copy(plain_bias, plain_bias + channels, bias.data());
    return;
  }
  weight = Buffer<T>(channel_groups * padded_out * k);
  bias = Buffer<T>::zeros(channel_groups * padded_out);
  Buffer<T> by_taps(group_out * k);
  for (Size group = 0; group < channel_groups; ++group) {
    for (Size i = 0; i < group_out; ++i) {
      const T* const from = plain_weight + (group * group_out + i) * k;
      for (Size channel = 0; channel < group_in; ++channel)
        for (Size tap = 0; tap < kernel; ++tap)
          by_taps.data()[i * k + tap * group_in + channel] = from[channel * kernel + tap];
    }
    kernels.pack_matrix(by_taps.data(), k, k, group_out, true,
                        weight.data() + group * padded_out * k);
    if (plain_bias != nullptr)
      std::copy(plain_bias + group * group_out, plain_bias + (group + 1) * group_out,
                bias.data() + group * padded_out);
  }
}

// Row t of the windows begins at frame t * stride, so x itself is the matrix: of rows that overlap,
// each of as many spans as there are taps.
template <class T>
void convolve(const Kernels<T>& kernels, const Convolution<T>& convolution,
              const Frames<const T>& given, Size before, Size after, const Frames<T>& y) {
  const Convolution<T>& c = convolution;
  Frames<const T> x = given;
  Buffer<T> copy;
  if (before + after > 0 || (x.channel != 1 && c.channels > 1)) {
    copy = channels_last(kernels, given, c.channels, before, after);
    const Size steps = before + x.steps + after;
    x = {copy.data(), steps, x.rows, c.channels, steps * c.channels, 1};
  }
  const Size in = c.channels / c.channel_groups, out = c.out / c.channel_groups;
  Product<T> whole{};
  set_matrix(whole, c.weight.data(), c.kernel * in, out, kernels.lanes);
  if (c.dilation * x.step != in && c.kernel > 1) {
    whole.k_outer = c.kernel;
    whole.k_inner = in;
  }
  whole.a_outer = c.dilation * x.step;
  const Outputs outputs({c.outputs(x.steps), c.stride * x.step, y.step}, {x.rows, x.row, y.row});
  if (outputs.count() == 0) return;
  whole.a_group = outputs.shorter.x;
  whole.c_group = outputs.shorter.y;

  const Size work_of_row = c.kernel * in * c.out;
  const Size panel_work = c.kernel * in * panel_vectors * kernels.lanes * c.channel_groups;
  const auto multiply = [&](Range longer, Range all_panels) {
    const Range all_shorter{0, outputs.shorter.count};
    in_pieces(longer, work_of_row * all_shorter.size(), tuning::few_rows, [&](Range rows) {
      in_pieces(all_shorter, work_of_row * rows.size(), 1, [&](Range shorter) {
        in_pieces(all_panels, panel_work * rows.size() * shorter.size(), 1, [&](Range panels) {
          Product<T> product = whole;
          const Size first_x = rows.begin * outputs.longer.x + shorter.begin * outputs.shorter.x;
          const Size first_y = rows.begin * outputs.longer.y + shorter.begin * outputs.shorter.y;
          read_from(product, x.data + first_x, outputs.longer.x);
          write_to(product, y.data + first_y, outputs.longer.y, rows.size());
          product.groups = shorter.size();
          multiply_some(kernels, c, product, panels);
        });
      });
    });
  };
  const Range longer{0, outputs.longer.count}, panels{0, whole.panel_end};
  const int threads = threads_for((outputs.count() + tuning::reading_rows) * work_of_row,
                                  tuning::packed_product_grain);
  // Threads share the panels of few outputs, of which each core can keep its own.
  if (c.channel_groups == 1 && outputs.count() < threads * tuning::reading_rows &&
      panels.size() >= threads) {
    parallel_on(threads, panels.size(), 1, [&](Range mine) { multiply(longer, mine); });
  } else {
    parallel_on(threads, longer.size(), 1, [&](Range mine) { multiply(mine, panels); });
  }
}

template Buffer<float> channels_last(const Kernels<float>&, const Frames<const float>&, Size, Size,
                                     Size);
template Buffer<double> channels_last(const Kernels<double>&, const Frames<const double>&, Size,
                                      Size, Size);
template struct Convolution<float>;
template struct Convolution<double>;
template void convolve(const Kernels<float>&, const Convolution<float>&, const Frames<const float>&,
                       Size, Size, const Frames<float>&);
template void convolve(const Kernels<double>&, const Convolution<double>&,
                       const Frames<const double>&, Size, Size, const Frames<double>&);

}  // namespace pyrnn
