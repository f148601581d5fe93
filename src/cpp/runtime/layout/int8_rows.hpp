// Rows of x or h as the whole numbers that a product with int8 weights takes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel_table.hpp"
#include "runtime/memory/buffer.hpp"
#include "tuning.hpp"

namespace pyrnn {

// For one product, whose A and B are set, and which it has to outlive. Nothing for other weights.
// Those of a step of a usual size are held in place.
template <class T>
class Int8Rows {
 public:
  Int8Rows() = default;
  Int8Rows(const Int8Rows&) = delete;
  Int8Rows& operator=(const Int8Rows&) = delete;

  void quantize(const Kernels<T>& kernels, Product<T>& product) {
    if (!is_int8(product.storage)) return;
    const Size count = product.rows * product.groups, row = int8_padded(product.k_inner);
    const Size bytes = count * (row * Size{sizeof(std::int16_t)} + Size{sizeof(T)});
    if (bytes > near_bytes && bytes > far_.size()) far_ = Buffer<unsigned char>(bytes);
    unsigned char* const memory = bytes > near_bytes ? far_.data() : near_;
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

 private:
  static constexpr Size near_bytes = tuning::int8_row_bytes;
  alignas(64) unsigned char near_[near_bytes];
  Buffer<unsigned char> far_;
};

}  // namespace pyrnn
