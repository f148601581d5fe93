// Sums of products of whole numbers in 32 bits: of x and h, of 16 bits or 8, and of weights, of 8.
//
// A Dot says how an instruction set does that for one vector of units, `depth` numbers of k at a
// time, and how many sums its registers hold: `sums` vectors, over `most_rows` rows at most. All
// are exact, so they agree whatever the instructions.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

using VectorOfFloats = Vector<float>;

inline std::int32_t four_bytes(const void* p) {
  std::int32_t bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return bytes;
}

template <Storage S>
struct Dot;

}  // namespace
}  // namespace pyrnn
