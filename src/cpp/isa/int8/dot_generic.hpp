// Sums of products of whole numbers where no instruction set is known.
#pragma once

#include "isa/int8/sum.hpp"

namespace pyrnn {
namespace {

using WholeNumbers = GenericTypes<float>::Integers;

inline VectorOfFloats floats_of(WholeNumbers x) {
  return {__builtin_convertvector(x, VectorOfFloats::Native)};
}

template <>
struct Dot<Storage::int8_pairs> {
  static constexpr Size depth = 2;
  static constexpr int sums = 12, most_rows = 3;
  struct Element {
    std::int32_t first, second;
  };
  struct Weights {
    WholeNumbers first, second;
  };
  struct Sum {
    WholeNumbers v{};
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) { return {a[k], a[k + 1]}; }
  static Weights load(const std::int8_t* p) {
    Weights weights;
    weights.first = WholeNumbers{p[0], p[2], p[4], p[6]};
    weights.second = WholeNumbers{p[1], p[3], p[5], p[7]};
    return weights;
  }
  static void add(Sum& sum, const Element& a, const Weights& weights) {
    sum.v += a.first * weights.first + a.second * weights.second;
  }
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

template <>
struct Dot<Storage::int8_bytes> {
  static constexpr Size depth = 4;
  static constexpr int sums = 12, most_rows = 3;
  struct Element {
    std::int32_t k[4];
  };
  struct Weights {
    WholeNumbers k[4];
  };
  struct Sum {
    WholeNumbers v{};
  };
  static Sum begin(const std::int32_t*) { return {}; }
  static Element element(const std::int16_t* a, Size, Size k) {
    const auto* const bytes = reinterpret_cast<const std::int8_t*>(a) + k;
    return {{bytes[0], bytes[1], bytes[2], bytes[3]}};
  }
  static Weights load(const std::int8_t* p) {
    Weights weights;
    for (int k = 0; k < 4; ++k) weights.k[k] = WholeNumbers{p[k], p[4 + k], p[8 + k], p[12 + k]};
    return weights;
  }
  static void add(Sum& sum, const Element& a, const Weights& weights) {
    for (int k = 0; k < 4; ++k) sum.v += a.k[k] * weights.k[k];
  }
  static VectorOfFloats total(const Sum& sum) { return floats_of(sum.v); }
};

constexpr bool has_fours = false, has_bytes_dot = false;
constexpr std::int32_t dot_offset = 0;

inline Storage int8_storage(bool bytes) {
  return bytes ? Storage::int8_bytes : Storage::int8_pairs;
}

}  // namespace
}  // namespace pyrnn
