// Sums over a row of numbers, in an order that is the same for vectors of every width: as many
// partial sums as a block has numbers, each of every block's number at its place, then halves of
// them added up until one is left.
#pragma once

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// Vectors of a block.
template <class V>
constexpr int block_vectors = static_cast<int>(block_units<typename V::Scalar> / V::lanes);

template <class V>
class RowSum {
 public:
  using T = typename V::Scalar;

  // Vector `index` of a block; zeros where the row has ended.
  void add(int index, V x) { sums_[index] = sums_[index] + x; }
  void add_product(int index, V a, V b) { sums_[index] = multiply_add(a, b, sums_[index]); }

  T total() const {
    constexpr Size numbers = block_units<T>;
    T sums[numbers];
#pragma GCC unroll 4
    for (int i = 0; i < block_vectors<V>; ++i) sums_[i].store(sums + i * V::lanes);
    for (Size half = numbers / 2; half > 0; half /= 2)
      for (Size i = 0; i < half; ++i) sums[i] += sums[i + half];
    // Vectors past the row's end, which are added or left out, decide on the sign of a zero.
    return sums[0] + T(0);
  }

 private:
  V sums_[block_vectors<V>] = {};
};

// Calls work(unit, index) for each vector of `units` numbers: the first of them, and which of its
// block it is.
template <class V, class Work>
inline void each_in_blocks(Size units, const Work& work) {
  for (Size block = 0; block < units; block += block_units<typename V::Scalar>) {
#pragma GCC unroll 4
    for (int index = 0; index < block_vectors<V>; ++index) {
      const Size unit = block + index * V::lanes;
      if (index == 0 || unit < units) work(unit, index);
    }
  }
}

}  // namespace
}  // namespace pyrnn
