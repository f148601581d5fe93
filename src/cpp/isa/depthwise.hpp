// Convolution of each channel for itself: vectors of channels instead of products.
#pragma once

#include "isa/elementwise.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// ROWS outputs of some channels at once, so that their sums do not wait for each other. Each is one
// chain of multiply-adds from the first tap to the last, as of a product.
template <class V, int ROWS>
inline void depthwise_rows(const Depthwise<typename V::Scalar>& q, Size row, Size channel,
                           Size count) {
  const auto* const x = q.x + row * q.x_row + channel;
  const auto* weight = q.weight + channel;
  V sums[ROWS];
  for (int i = 0; i < ROWS; ++i) sums[i] = V::zero();
  for (Size tap = 0; tap < q.taps; ++tap, weight += q.weight_row) {
    const V w = V::load(weight);
    for (int i = 0; i < ROWS; ++i)
      sums[i] = multiply_add(load_some<V>(x + i * q.x_row + tap * q.x_tap, count), w, sums[i]);
  }
  const V bias = V::load(q.bias + channel);
  for (int i = 0; i < ROWS; ++i)
    store_some<V>(sums[i] + bias, q.y + (row + i) * q.y_row + channel, count);
}

template <class V>
void depthwise(const Depthwise<typename V::Scalar>& q) {
  constexpr int at_once = tuning::depthwise_rows;
  each_vector<V>(q.channels, [&](Size channel, Size count) {
    Size row = 0;
    for (; row + at_once <= q.rows; row += at_once)
      depthwise_rows<V, at_once>(q, row, channel, count);
    for (; row < q.rows; ++row) depthwise_rows<V, 1>(q, row, channel, count);
  });
}

}  // namespace
}  // namespace pyrnn
