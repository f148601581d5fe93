// Aligned memory that is returned when its owner is destroyed. An empty buffer takes no memory.
#pragma once

#include <algorithm>
#include <utility>

#include "kernel_table.hpp"
#include "runtime/memory/memory.hpp"

namespace pyrnn {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Size size)
      : data_(size == 0 ? nullptr : static_cast<T*>(acquire_memory(bytes(size)))), size_(size) {}
  // All zeros
  static Buffer zeros(Size size) {
    Buffer buffer(size);
    std::fill(buffer.data_, buffer.data_ + size, T(0));
    return buffer;
  }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release_memory(data_, bytes(size_));
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  Size size() const { return size_; }

 private:
  static std::size_t bytes(Size size) { return static_cast<std::size_t>(size) * sizeof(T); }

  T* data_ = nullptr;
  Size size_ = 0;
};

}  // namespace pyrnn
