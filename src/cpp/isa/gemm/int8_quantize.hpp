// Numbers into whole numbers: rows of x and h at every step, weights once.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "isa/gemm/tile.hpp"
#include "isa/int8/dot.hpp"

namespace pyrnn {
namespace {

inline std::int32_t bits_of(float x) {
  std::int32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline float float_of(std::int32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// To the nearest whole number, to the even one of two: beyond 2^23, floats are whole numbers. For
// magnitudes below 2^22.
inline std::int32_t nearest(float x) {
  constexpr float shift = 0x1.8p23f;
  return bits_of(x + shift) - bits_of(shift);
}

// The largest magnitude, as bits, whose order is that of the magnitudes: an infinity is above all
// numbers, a NaN above that.
inline std::int32_t largest_bits(const float* x, Size n) {
  std::int32_t most = 0;
  for (Size i = 0; i < n; ++i) {
    const std::int32_t magnitude = bits_of(x[i]) & 0x7fffffff;
    most = magnitude > most ? magnitude : most;
  }
  return most;
}

// Calls put(i, whole number) for each.
template <class Put>
inline void each_quantized(const float* x, Size n, float factor, const Put& put) {
  for (Size i = 0; i < n; ++i) put(i, nearest(x[i] * factor));
}

// A row with an infinity or a NaN has a scale of NaN, and so has all that comes of it.
inline void quantize_rows(const QuantizeRows<float>& q) {
  const float most = has_byte_rows(q.storage) ? 127 : 32767;
  const Size padded = int8_padded(q.k);
  for (Size row = 0; row < q.rows; ++row) {
    const float* const x = q.a + row * q.a_row;
    const float largest = float_of(largest_bits(x, q.k));
    const bool finite = largest <= std::numeric_limits<float>::max();
    const bool any = finite && largest >= int8_least;
    const float factor = any ? most / largest : 0;
    q.scales[row] = any ? largest / most : finite ? 0 : std::numeric_limits<float>::quiet_NaN();
    std::int16_t* const to = q.to + row * q.to_row;
    const Size count = any ? q.k : 0;
    if (q.storage == Storage::int8_pairs) {
      each_quantized(x, count, factor,
                     [&](Size i, std::int32_t n) { to[i] = static_cast<std::int16_t>(n); });
      for (Size i = count; i < padded; ++i) to[i] = 0;
      continue;
    }
    auto* const lower = reinterpret_cast<std::uint8_t*>(to);
    if (has_byte_rows(q.storage)) {
      const std::int32_t offset = q.storage == Storage::int8_bytes_dot ? dot_offset : 0;
      each_quantized(x, count, factor, [&](Size i, std::int32_t n) {
        lower[i] = static_cast<std::uint8_t>(n + offset);
      });
      for (Size i = count; i < padded; ++i) lower[i] = static_cast<std::uint8_t>(offset);
      continue;
    }
    auto* const upper = lower + padded;
    each_quantized(x, count, factor, [&](Size i, std::int32_t n) {
      lower[i] = static_cast<std::uint8_t>(n);
      upper[i] = static_cast<std::uint8_t>((n >> 8) + 128);
    });
    for (Size i = count; i < padded; ++i) {
      lower[i] = 0;
      upper[i] = 128;
    }
  }
}

// The scale of a row of weights: rounded to 17 bits, so that its multiples by whole numbers of 8
// are exact, and quantising them again gives the same.
inline float weight_scale(float largest) {
  if (!(largest <= std::numeric_limits<float>::max()))
    return std::numeric_limits<float>::quiet_NaN();
  if (largest < int8_least) return 0;
  return float_of((bits_of(largest / 127) + 0x40) & ~0x7f);
}

inline void int8_round(const float* row, Size n, float* rounded) {
  const float scale = weight_scale(float_of(largest_bits(row, n)));
  for (Size i = 0; i < n; ++i)
    rounded[i] = scale > 0 ? static_cast<float>(nearest(row[i] / scale)) * scale : scale;
}

// One vector of units of a panel: what stands in its columns, from one number of k to the next.
inline void quantize_vector(const QuantizePanels<float>& q, Size vector, Size j, Size width) {
  constexpr Size lanes = VectorOfFloats::lanes;
  const Size depth = int8_depth(q.storage), padded = int8_padded(q.k);
  const float* const panel = q.packed + (vector - j) * lanes * q.k;
  const auto row = [&](Size k) {
    return panel + offset_in_panel<VectorOfFloats>(k, j, q.k, width);
  };
  std::int32_t most[lanes] = {};
  for (Size k = 0; k < q.k; ++k) {
    const float* const weights = row(k);
    for (Size lane = 0; lane < lanes; ++lane) {
      const std::int32_t magnitude = bits_of(weights[lane]) & 0x7fffffff;
      most[lane] = magnitude > most[lane] ? magnitude : most[lane];
    }
  }
  // What is not finite, and rows of zeros, have whole numbers that are all 0.
  float divisors[lanes], kept[lanes];
  for (Size lane = 0; lane < lanes; ++lane) {
    const float scale = weight_scale(float_of(most[lane]));
    q.scales[vector * lanes + lane] = scale;
    kept[lane] = scale > 0 ? 1 : 0;
    divisors[lane] = scale > 0 ? scale : 1;
  }
  std::int32_t* offsets = nullptr;
  for (Size k = 0; k < padded; ++k) {
    if (k % int8_span == 0) {
      offsets = q.offsets + (k / int8_span * q.vectors + vector) * lanes;
      for (Size lane = 0; lane < lanes; ++lane) offsets[lane] = 0;
    }
    std::int32_t numbers[lanes] = {};
    if (k < q.k) {
      const float* const weights = row(k);
      for (Size lane = 0; lane < lanes; ++lane)
        numbers[lane] = kept[lane] > 0 ? nearest(weights[lane] / divisors[lane]) : 0;
    }
    std::int8_t* const to =
        q.to + (vector - j) * lanes * padded + (k / depth * width + j) * lanes * depth + k % depth;
    for (Size lane = 0; lane < lanes; ++lane) {
      to[lane * depth] = static_cast<std::int8_t>(numbers[lane]);
      offsets[lane] -= 128 * numbers[lane];
    }
  }
}

inline void quantize_panels(const QuantizePanels<float>& q) {
  for (Size first = 0; first < q.vectors; first += q.width) {
    const Size width = smaller(q.width, q.vectors - first);
    for (Size j = 0; j < width; ++j) quantize_vector(q, first + j, j, width);
  }
}

}  // namespace
}  // namespace pyrnn
