// Packed weights as products read them: as they are, or rounded to fewer bits once and stored so.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernel_table.hpp"
#include "runtime/memory/buffer.hpp"
#include "runtime/threads/parallel.hpp"
#include "tuning.hpp"

namespace pyrnn {

// To the nearest number that 16 bits can hold, to the even one of two; a NaN stays one.
inline std::uint16_t to_bfloat16(std::uint32_t bits) {
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<std::uint16_t>(is_nan ? (bits >> 16) | 0x40u : rounded);
}

inline std::uint16_t to_float16(std::uint32_t bits) {
  const std::uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  const auto with_sign = [sign](std::uint32_t x) { return static_cast<std::uint16_t>(sign | x); };
  if (magnitude > 0x7f800000u) return with_sign(0x7e00u);   // NaN
  if (magnitude >= 0x477ff000u) return with_sign(0x7c00u);  // beyond the largest number
  if (magnitude >= 0x38800000u) {                           // not subnormal in 16 bits
    const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return with_sign((rounded - 0x38000000u) >> 13);
  }
  const std::uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return with_sign(0);  // below half of the smallest number
  const std::uint32_t digits = (magnitude & 0x7fffffu) | 0x800000u, shift = 126 - exponent;
  const std::uint32_t half = 1u << (shift - 1), whole = digits >> shift;
  return with_sign((digits + half - 1 + (whole & 1u)) >> shift);
}

inline float from_bfloat16(std::uint16_t number) {
  const std::uint32_t bits = std::uint32_t{number} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline float from_float16(std::uint16_t number) {
  const std::uint32_t magnitude = number & 0x7fffu, sign = std::uint32_t{number & 0x8000u} << 16;
  std::uint32_t bits = (magnitude << 13) + ((127u - 15u) << 23);
  if (magnitude >= 0x7c00u) bits = (magnitude << 13) | 0x7f800000u;
  if (magnitude < 0x0400u) {
    const float small = static_cast<float>(magnitude) * 0x1p-24f;
    std::memcpy(&bits, &small, sizeof(bits));
  }
  bits |= sign;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline std::uint16_t narrowed(Storage storage, float number) {
  std::uint32_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return storage == Storage::bfloat16 ? to_bfloat16(bits) : to_float16(bits);
}
inline float widened(Storage storage, std::uint16_t number) {
  return storage == Storage::bfloat16 ? from_bfloat16(number) : from_float16(number);
}

// Makes each number what it is when it is stored so and read again.
template <class T>
void round_to(Storage storage, Buffer<T>& numbers) {
  if constexpr (std::is_same_v<T, float>) {
    if (storage != Storage::bfloat16 && storage != Storage::float16) return;
    parallel_for(numbers.size(), tuning::copy_grain, 1, [&](Range mine) {
      for (Size i = mine.begin; i < mine.end; ++i)
        numbers.data()[i] = widened(storage, narrowed(storage, numbers.data()[i]));
    });
  }
}

// What packed numbers are: rows of a product's B, panel by panel.
struct PanelShape {
  Size k, width, vectors;
};

template <class T>
class Panels {
 public:
  Panels() = default;
  Panels(const Kernels<T>& kernels, Buffer<T> packed, Storage storage, PanelShape shape)
      : storage_(storage) {
    if (storage == Storage::full) {
      full_ = std::move(packed);
      return;
    }
    if constexpr (std::is_same_v<T, float>) {
      if (is_int8(storage)) {
        quantize(kernels, packed, shape);
        return;
      }
      if (storage == Storage::bfloat16_pairs) {
        pair(kernels, packed.data(), shape);
        return;
      }
      narrow_ = Buffer<std::uint16_t>(packed.size());
      parallel_for(packed.size(), tuning::copy_grain, 1, [&](Range mine) {
        for (Size i = mine.begin; i < mine.end; ++i)
          narrow_.data()[i] = narrowed(storage, packed.data()[i]);
      });
      if (storage != Storage::bfloat16) return;
      const Size panel = shape.width * kernels.lanes * shape.k;
      parallel_for(
          quotient_up(shape.vectors, shape.width),
          std::max<Size>(1, tuning::copy_grain / std::max<Size>(1, panel)), 1, [&](Range mine) {
            kernels.pair_vectors(
                {narrow_.data() + mine.begin * panel, shape.k, shape.width,
                 std::min(mine.end * shape.width, shape.vectors) - mine.begin * shape.width});
          });
    }
  }
  // B of a product.
  void set(Product<T>& product) const {
    product.b = storage_ == Storage::full ? static_cast<const void*>(full_.data())
                : is_int8(storage_)       ? static_cast<const void*>(int8_.data())
                                          : narrow_.data();
    product.storage = storage_;
    product.int8.column_scales = scales_.data();
    product.int8.column_offsets = offsets_.data();
  }

  // The same from numbers that stay where they are, in pairs of bfloat16.
  static Panels paired(const Kernels<T>& kernels, const T* packed, PanelShape shape) {
    Panels panels;
    panels.storage_ = Storage::bfloat16_pairs;
    panels.pair(kernels, packed, shape);
    return panels;
  }

 private:
  void pair(const Kernels<T>& kernels, const T* packed, PanelShape shape) {
    const Size panels = quotient_up(shape.vectors, shape.width);
    const Size panel = shape.width * kernels.lanes, padded = bfloat16_padded(shape.k);
    narrow_ = Buffer<std::uint16_t>(shape.vectors * kernels.lanes * padded);
    parallel_for(panels, std::max<Size>(1, tuning::copy_grain / (panel * padded)), 1,
                 [&](Range mine) {
                   for (Size i = mine.begin; i < mine.end; ++i)
                     kernels.pair_panels({packed + i * panel * shape.k, shape.k, shape.width,
                                          std::min(shape.width, shape.vectors - i * shape.width),
                                          narrow_.data() + i * panel * padded});
                 });
  }
  void quantize(const Kernels<T>& kernels, const Buffer<T>& packed, PanelShape shape) {
    const Size columns = shape.vectors * kernels.lanes;
    int8_ = Buffer<std::int8_t>(columns * int8_padded(shape.k));
    scales_ = Buffer<T>(columns);
    offsets_ = Buffer<std::int32_t>(columns * quotient_up(shape.k, int8_span));
    kernels.quantize_panels({packed.data(), shape.k, shape.width, shape.vectors, storage_,
                             int8_.data(), scales_.data(), offsets_.data()});
  }

  Storage storage_ = Storage::full;
  Buffer<T> full_;
  Buffer<std::uint16_t> narrow_;
  Buffer<std::int8_t> int8_;
  Buffer<T> scales_;  // of int8 weights: of each column
  Buffer<std::int32_t> offsets_;
};

// The matrix (rows, columns) that int8 weights stand for: what backward multiplies with. Quantising
// it again gives the same weights.
template <class T>
Buffer<T> int8_rounded(const Kernels<T>& kernels, const T* matrix, Size rows, Size columns) {
  Buffer<T> rounded(rows * columns);
  if constexpr (std::is_same_v<T, float>)
    parallel_for(rows, std::max<Size>(1, tuning::copy_grain / columns), 1, [&](Range mine) {
      for (Size row = mine.begin; row < mine.end; ++row)
        kernels.int8_round(matrix + row * columns, columns, rounded.data() + row * columns);
    });
  return rounded;
}

}  // namespace pyrnn
