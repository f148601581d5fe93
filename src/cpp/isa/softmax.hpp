// Softmax and cross-entropy of rows of logits, with the gradient.
#pragma once

#include "isa/logarithm.hpp"
#include "isa/simd/lanes.hpp"
#include "isa/simd/math.hpp"
#include "isa/simd/partial.hpp"

namespace pyrnn {
namespace {

template <class V>
inline typename V::Scalar largest_lane(V x) {
  typename V::Scalar lanes[V::lanes];
  x.store(lanes);
  auto largest = lanes[0];
  for (int i = 1; i < V::lanes; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}

// (columns,) -> the sum of all but one, which becomes 0
template <class V>
typename V::Scalar sum_without(typename V::Scalar* x, Size columns, typename V::Scalar& one) {
  one = 0;
  RowSum<V> sum;
  each_in_blocks<V>(columns, [&](Size column, int index) {
    sum.add(index, load_some<V>(x + column, columns - column));
  });
  return sum.total();
}

// (rows, columns), (rows,) -> (rows, columns), (rows,)
template <class V>
void softmax_cross_entropy(const typename V::Scalar* logits, const std::int64_t* targets,
                           typename V::Scalar* dlogits, double* losses, Size rows, Size columns) {
  using T = typename V::Scalar;
  for (Size row = 0; row < rows; ++row, logits += columns, dlogits += columns) {
    V largest = V::broadcast(logits[0]);
    Size j = 0;
    for (; j + V::lanes <= columns; j += V::lanes) largest = maximum(largest, V::load(logits + j));
    T top = largest_lane(largest);
    for (; j < columns; ++j) top = logits[j] > top ? logits[j] : top;
    RowSum<V> sum;
    each_in_blocks<V>(columns, [&](Size column, int index) {
      const V e = vector_exp(load_some<V>(logits + column, columns - column) - V::broadcast(top));
      store_some<V>(e, dlogits + column, columns - column);
      sum.add(index, without_padding(e, columns - column));
    });
    const T total = sum.total();
    // Of a class that is nearly certain, p - 1 and ln p would be rounding's: they come from the
    // rest.
    T& own = dlogits[targets[row]];
    const bool certain = own > total - own;
    const T rest = certain ? sum_without<V>(dlogits, columns, own) : T(0);
    const V factor = V::broadcast(T(1) / total);
    for (j = 0; j < columns; j += V::lanes)
      store_some<V>(load_some<V>(dlogits + j, columns - j) * factor, dlogits + j, columns - j);
    if (certain) {
      losses[row] = logarithm_of_one_and(static_cast<double>(rest));
      own = -rest / total;
    } else {
      losses[row] = logarithm(static_cast<double>(total)) -
                    (static_cast<double>(logits[targets[row]]) - static_cast<double>(top));
      own -= T(1);
    }
  }
}

}  // namespace
}  // namespace pyrnn
