// float32 to bfloat16: to nearest, to the even one of two. By bits, so that it is the same in every
// mode of the processor.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa/panels/offsets.hpp"

namespace pyrnn {
namespace {

// The bits of a bfloat16, in the upper half. A NaN stays one.
inline std::uint32_t rounded_upper(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const std::uint32_t nearest = bits + 0x7fffu + ((bits >> 16) & 1u);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return (is_nan ? bits | 0x400000u : nearest) & 0xffff0000u;
}

inline void put_pair(std::uint32_t first_upper, std::uint32_t second_upper, std::uint16_t* to) {
  const std::uint32_t pair = (first_upper >> 16) | second_upper;
  std::memcpy(to, &pair, sizeof(pair));
}

// Pairs of numbers of two rows, or of one and zeros.
inline void interleave(const float* first, const float* second, Size count, std::uint16_t* to) {
  if (second == nullptr) {
    for (Size i = 0; i < count; ++i) put_pair(rounded_upper(first[i]), 0, to + 2 * i);
  } else {
    for (Size i = 0; i < count; ++i)
      put_pair(rounded_upper(first[i]), rounded_upper(second[i]), to + 2 * i);
  }
}

inline void round_rows(const RoundRows<float>& q) {
  const Size k = q.k_outer * q.k_inner;
  for (Size row = 0; row < q.rows; ++row) {
    std::uint16_t* to = q.to + row * q.to_row;
    for (Size outer = 0; outer < q.k_outer; ++outer, to += q.k_inner) {
      const float* const from = q.a + row * q.a_row + outer * q.a_outer;
      for (Size i = 0; i < q.k_inner; ++i)
        to[i] = static_cast<std::uint16_t>(rounded_upper(from[i]) >> 16);
    }
    std::memset(to, 0, static_cast<std::size_t>(bfloat16_padded(k) - k) * sizeof(*to));
  }
}

inline void pair_panels(const PairPanels<float>& q) {
  using V = Vector<float>;
  const Size padded = bfloat16_padded(q.k);
  for (Size first = 0; first < q.vectors; first += q.width) {
    const Size width = smaller(q.width, q.vectors - first);
    const float* const panel = q.packed + first * V::lanes * q.k;
    std::uint16_t* const to = q.to + first * V::lanes * padded;
    const auto row = [&](Size k, Size j) {
      return k < q.k ? panel + offset_in_panel<V>(k, j, q.k, width) : nullptr;
    };
    for (Size k = 0; k < padded; k += 2) {
      for (Size j = 0; j < width; ++j) {
        std::uint16_t* const pairs = to + (k * width + j * 2) * V::lanes;
        if (k < q.k) {
          interleave(row(k, j), row(k + 1, j), V::lanes, pairs);
        } else {
          std::memset(pairs, 0, 2 * V::lanes * sizeof(*pairs));
        }
      }
    }
  }
}

inline void pair_vectors(const PairVectors& q) {
  using V = Vector<float>;
  for (Size first = 0; first < q.vectors; first += q.width) {
    const Size width = smaller(q.width, q.vectors - first);
    if (!in_pairs<V>(width)) continue;
    std::uint16_t* const panel = q.numbers + first * V::lanes * q.k;
    for (Size at = 0; at < width * q.k * V::lanes; at += 2 * V::lanes) {
      std::uint16_t* const to = panel + at;
      std::uint16_t both[2 * V::lanes];
      std::memcpy(both, to, sizeof(both));
      for (Size lane = 0; lane < V::lanes; ++lane) {
        to[2 * lane] = both[lane];
        to[2 * lane + 1] = both[V::lanes + lane];
      }
    }
  }
}

}  // namespace
}  // namespace pyrnn
