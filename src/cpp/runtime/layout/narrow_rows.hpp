// Rows of A as a product with weights in a narrow format takes them: as whole numbers beside int8
// weights, rounded beside those of products of bfloat16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel_table.hpp"
#include "runtime/machine/tiles.hpp"
#include "runtime/memory/buffer.hpp"
#include "tuning.hpp"

namespace pyrnn {

// For one product, whose A and B are set, and which it has to outlive. Nothing for other weights.
// Those of a step of a usual size are held in place.
template <class T>
class NarrowRows {
 public:
  NarrowRows() = default;
  NarrowRows(const NarrowRows&) = delete;
  NarrowRows& operator=(const NarrowRows&) = delete;

  void make(const Kernels<T>& kernels, Product<T>& product) {
    if (is_int8(product.storage)) {
      quantize(kernels, product);
    } else if (product.storage == Storage::bfloat16_pairs) {
      round(kernels, product);
    }
  }

 private:
  void quantize(const Kernels<T>& kernels, Product<T>& product) {
    const Size count = product.rows * product.groups, row = int8_padded(product.k_inner);
    unsigned char* const memory =
        memory_of(count * (row * Size{sizeof(std::int16_t)} + Size{sizeof(T)}));
    T* const scales = static_cast<T*>(static_cast<void*>(memory));
    auto* const numbers = static_cast<std::int16_t*>(static_cast<void*>(scales + count));
    for (Size group = 0; group < product.groups; ++group) {
      const Size first = group * product.rows;
      kernels.quantize_rows({product.a + group * product.a_group, product.a_row, product.rows,
                             product.k_inner, product.storage, numbers + first * row, row,
                             scales + first});
    }
    product.int8.a = numbers;
    product.int8.a_row = row;
    product.int8.row_scales = scales;
  }

  // Stretches of k lie side by side then.
  void round(const Kernels<T>& kernels, Product<T>& product) {
    const Size row = bfloat16_padded(product.k_outer * product.k_inner);
    const Size bytes = product.rows * product.groups * row * Size{sizeof(std::uint16_t)};
    auto* const numbers = static_cast<std::uint16_t*>(static_cast<void*>(memory_of(bytes)));
    for (Size group = 0; group < product.groups; ++group)
      kernels.round_rows({product.a + group * product.a_group, product.a_row, product.a_outer,
                          product.rows, product.k_outer, product.k_inner,
                          numbers + group * product.rows * row, row});
    product.bfloat16 = {numbers, row, usable_tiles()};
  }

  unsigned char* memory_of(Size bytes) {
    if (bytes <= near_bytes) return near_;
    if (bytes > far_.size()) far_ = Buffer<unsigned char>(bytes);
    return far_.data();
  }

  static constexpr Size near_bytes = tuning::int8_row_bytes;
  alignas(64) unsigned char near_[near_bytes];
  Buffer<unsigned char> far_;
};

// A product of float rows, whatever its weights are.
template <class T>
void multiply_rows(const Kernels<T>& kernels, Product<T>& product) {
  NarrowRows<T> narrow;
  narrow.make(kernels, product);
  kernels.product(product);
}

}  // namespace pyrnn
