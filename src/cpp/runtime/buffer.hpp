// Aligned memory that is freed with its owner.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "kernel_table.hpp"

namespace pyrnn {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Size size) : size_(size) {
    const std::size_t bytes = (static_cast<std::size_t>(size) * sizeof(T) + 63) / 64 * 64;
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes == 0 ? 64 : bytes)));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  // All zeros
  static Buffer zeros(Size size) {
    Buffer buffer(size);
    for (Size i = 0; i < size; ++i) buffer.data()[i] = T(0);
    return buffer;
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  Size size() const { return size_; }
  bool empty() const { return data_ == nullptr; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  Size size_ = 0;
};

}  // namespace pyrnn
