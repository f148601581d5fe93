// How the numbers of packed weights are read, by their storage.
#pragma once

#include <cstdint>
#include <type_traits>

#include "isa/panels/offsets.hpp"
#include "isa/simd/narrow.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// Of a row of `width` vectors, `load` reads vector j; `from` gives what a multiply-add takes, which
// may read from memory itself.
template <class V, Storage S>
struct Stored;

template <class V>
struct Stored<V, Storage::full> {
  using Number = typename V::Scalar;
  static V load(const Number* row, Size j, Size) { return V::load(row + j * V::lanes); }
  static const Number* from(const Number* row, Size j, Size) { return row + j * V::lanes; }
};

// Two neighbouring vectors are pairs: a shift and a mask widen them, where one alone takes a
// shuffle, of which processors do fewer at a time (docs/tuning/bfloat16.md).
template <class V>
struct Stored<V, Storage::bfloat16> {
  using Number = std::uint16_t;
  static V load(const Number* row, Size j, Size width) {
    if (!in_pairs<V>(width)) return load_bfloat16<V>(row + j * V::lanes);
    const Pairs<V> pairs = load_pairs<V>(row + (j & ~Size{1}) * V::lanes);
    return j % 2 == 0 ? pairs.first : pairs.second;
  }
  static V from(const Number* row, Size j, Size width) { return load(row, j, width); }
};

template <class V>
struct Stored<V, Storage::float16> {
  using Number = std::uint16_t;
  static V load(const Number* row, Size j, Size) { return load_float16<V>(row + j * V::lanes); }
  static V from(const Number* row, Size j, Size width) { return load(row, j, width); }
};

template <Storage S>
using StorageConstant = std::integral_constant<Storage, S>;

// Calls work with the storage as a constant. Only float32 is stored narrower.
template <class V, class Work>
inline void with_storage(Storage storage, const Work& work) {
  if constexpr (sizeof(typename V::Scalar) == sizeof(float)) {
    switch (storage) {
      case Storage::bfloat16: return work(StorageConstant<Storage::bfloat16>());
      case Storage::float16: return work(StorageConstant<Storage::float16>());
      case Storage::full:
      case Storage::bfloat16_pairs:
      case Storage::int8_pairs:
      case Storage::int8_fours:
      case Storage::int8_bytes:
      case Storage::int8_bytes_dot: break;  // products of their own
    }
  }
  work(StorageConstant<Storage::full>());
}

}  // namespace
}  // namespace pyrnn
