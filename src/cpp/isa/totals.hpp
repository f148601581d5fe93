// Totals of sums over rows: two numbers each, the total and what its additions have lost so far,
// which is added at last.
#pragma once

#include <cmath>

#include "isa/elementwise.hpp"

namespace pyrnn {
namespace {

// Where totals and losses are; whether there are no losses yet; whether nothing will be added
// later.
template <class T>
struct Totals {
  T* sums;
  T* low;
  bool begins, ends;
};

// Adds to the totals at `offset` and further. Of an infinite one nothing is lost.
template <class V, class T = typename V::Scalar>
inline void add_to_total(const Totals<T>& totals, Size offset, Size valid, V x) {
  const V old = load_some<V>(totals.sums + offset, valid), sum = old + x;
  V lost = x - (sum - old);
  if (!totals.begins) lost = lost + load_some<V>(totals.low + offset, valid);
  if (!totals.ends) {
    store_some<V>(sum, totals.sums + offset, valid);
    store_some<V>(lost, totals.low + offset, valid);
    return;
  }
  const V least = V::broadcast(-std::numeric_limits<T>::infinity());
  store_some<V>(select(least < negative_absolute(sum), sum + lost, sum), totals.sums + offset,
                valid);
}

template <class V>
void add_to_totals(typename V::Scalar* sums, const typename V::Scalar* x, typename V::Scalar* low,
                   Size n, bool begins, bool ends) {
  const Totals<typename V::Scalar> totals{sums, low, begins, ends};
  each_vector<V>(n, [&](Size i, Size count) {
    add_to_total<V>(totals, i, count, load_some<V>(x + i, count));
  });
}

// Adds to sums what their additions have lost.
template <class V, class T = typename V::Scalar>
void finish_totals(T* sums, const T* low, Size n) {
  const V least = V::broadcast(-std::numeric_limits<T>::infinity());
  each_vector<V>(n, [&](Size i, Size count) {
    const V sum = load_some<V>(sums + i, count);
    const V all = sum + load_some<V>(low + i, count);
    store_some<V>(select(least < negative_absolute(sum), all, sum), sums + i, count);
  });
}

}  // namespace
}  // namespace pyrnn
