// Vectors at the end of an array, of which only the first lanes are there.
#pragma once

#include "isa/simd/vector.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

template <class V>
inline V load_some(const typename V::Scalar* p, Size valid) {
  return valid >= V::lanes ? V::load(p) : V::load_partial(p, valid);
}

template <class V>
inline void store_some(V x, typename V::Scalar* p, Size valid) {
  if (valid >= V::lanes) {
    x.store(p);
  } else {
    x.store_partial(p, valid);
  }
}

}  // namespace
}  // namespace pyrnn
