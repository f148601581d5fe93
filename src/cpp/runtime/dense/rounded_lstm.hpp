// The loop over time of an LSTM whose h is rounded to 8 bits before each product: what ONNX Runtime
// computes for the LSTM with 8-bit weights that its quantizer makes.
//
// All rows of h have one scale, so a row depends on the others: the layers of pyrnn do not round
// so. The product of whole numbers is exact in float32, if each sum fits 24 bits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/dense/dense.hpp"
#include "runtime/threads/interrupts.hpp"

namespace pyrnn {

// The nearest whole number, ties to even, of what is below 2^22.
inline float nearest(float x) {
  constexpr float shift = 12'582'912;  // 1.5 · 2^23: sums with it have no fraction
  return (x + shift) - shift;
}

// q = nearest(h / scale), in the range of a byte less its zero point. Returns the scale, by which a
// byte holds the range that h and 0 are in.
inline float round_to_bytes(const float* h, Size n, float* q) {
  constexpr Size lanes = 16;  // minima and maxima at once
  constexpr float levels = 255;
  float lows[lanes] = {}, highs[lanes] = {};
  Size i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (Size lane = 0; lane < lanes; ++lane) {
      lows[lane] = std::min(lows[lane], h[i + lane]);
      highs[lane] = std::max(highs[lane], h[i + lane]);
    }
  }
  float low = *std::min_element(lows, lows + lanes);
  float high = *std::max_element(highs, highs + lanes);
  for (; i < n; ++i) {
    low = std::min(low, h[i]);
    high = std::max(high, h[i]);
  }
  const float scale = high > low ? (high - low) / levels : 1;
  const float zero = nearest(-low / scale);
  for (Size k = 0; k < n; ++k)
    q[k] = std::min(std::max(nearest(h[k] / scale), -zero), levels - zero);
  return scale;
}

// Gates in ONNX's order: i o f c, (hidden,) each.
class RoundedLstm {
 public:
  // Whole numbers (4 hidden, hidden) up to 256, which bfloat16 holds, and the scale of each row
  RoundedLstm(const Kernels<float>& kernels, const float* weight, const float* scale, Size hidden)
      : hidden_(hidden),
        weights_(kernels, weight, nullptr, hidden, 4 * hidden, Storage::bfloat16, Compute::full),
        scale_(4 * hidden) {
    std::copy(scale, scale + 4 * hidden, scale_.data());
  }

  Size hidden() const { return hidden_; }

  // z (steps, rows, 4 hidden), what x and the biases give; h, c (rows, hidden): in the first ones,
  // out the last ones; y (steps, rows, hidden). `lengths` are those of the rows, or null; a row
  // that has ended is zero in y, and for the scale of the others.
  void run(const Kernels<float>& kernels, const float* z, Size steps, Size rows,
           const std::int64_t* lengths, float* h, float* c, float* y) const {
    const Size units = rows * hidden_, gates = 4 * hidden_;
    Buffer<float> q(units), product(rows * gates), scales(gates);
    float* const scale = scales.data();
    const float* previous = h;
    for (Size t = 0; t < steps; ++t) {
      check_interrupts();
      const float of_h = round_to_bytes(previous, units, q.data());
      linear(kernels, q.data(), weights_, product.data(), rows);
      for (Size j = 0; j < gates; ++j) scale[j] = scale_.data()[j] * of_h;
      float* const here = y + t * units;
      for (Size row = 0; row < rows; ++row) {
        float* const out = here + row * hidden_;
        if (lengths != nullptr && t >= lengths[row]) {
          std::fill(out, out + hidden_, 0.0F);
          continue;
        }
        float* const p = product.data() + row * gates;
        const float* const added = z + (t * rows + row) * gates;
        for (Size j = 0; j < gates; ++j) p[j] = p[j] * scale[j] + added[j];
        step(kernels, p, c + row * hidden_, out);
      }
      previous = here;
      for (Size row = 0; row < rows; ++row) {
        const bool last = t + 1 == (lengths == nullptr ? steps : lengths[row]);
        const float* const from = here + row * hidden_;
        if (last) std::copy(from, from + hidden_, h + row * hidden_);
      }
    }
  }

 private:
  void step(const Kernels<float>& kernels, float* p, float* c, float* out) const {
    kernels.sigmoid(p, p, 3 * hidden_);
    float *const i = p, *const o = p + hidden_, *const f = o + hidden_, *const g = f + hidden_;
    kernels.tanh(g, g, hidden_);
    for (Size j = 0; j < hidden_; ++j) c[j] = c[j] * f[j] + i[j] * g[j];
    kernels.tanh(c, out, hidden_);
    for (Size j = 0; j < hidden_; ++j) out[j] *= o[j];
  }

  Size hidden_;
  LinearWeights<float> weights_;
  Buffer<float> scale_;
};

}  // namespace pyrnn
