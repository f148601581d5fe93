// How the numbers of packed weights are read, by their storage.
#pragma once

#include <cstdint>
#include <type_traits>

#include "isa/simd/narrow.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// `load` reads a vector of numbers; `from` gives what a multiply-add takes, which may read from
// memory itself.
template <class V, Storage S>
struct Stored;

template <class V>
struct Stored<V, Storage::full> {
  using Number = typename V::Scalar;
  static V load(const Number* p) { return V::load(p); }
  static const Number* from(const Number* p) { return p; }
};

template <class V>
struct Stored<V, Storage::bfloat16> {
  using Number = std::uint16_t;
  static V load(const Number* p) { return load_bfloat16<V>(p); }
  static V from(const Number* p) { return load(p); }
};

template <class V>
struct Stored<V, Storage::float16> {
  using Number = std::uint16_t;
  static V load(const Number* p) { return load_float16<V>(p); }
  static V from(const Number* p) { return load(p); }
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
