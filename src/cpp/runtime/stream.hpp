// A stack of layers that advances one step a call and keeps its state and buffers between calls.
#pragma once

#include <memory>
#include <vector>

#include "runtime/cell_step.hpp"

namespace pyrnn {

template <class T>
class Stream {
 public:
  // layers: lowest first
  Stream(std::vector<std::shared_ptr<const CellWeights<T>>> layers, Size batch_size);

  // x (batch, I) or indices (batch,) -> y (batch, H)
  void step(const InputRows<T>& x, T* y);

  // h, then the other states: (layers, batch, H) each
  void read_state(int state, T* to) const;
  void write_state(int state, const T* from);

  const CellSizes<T>& lowest() const { return layers_.front().weights->sizes; }
  Size hidden_size() const { return lowest().hidden_size; }
  Size batch_size() const { return batch_size_; }
  Size layers() const { return static_cast<Size>(layers_.size()); }

 private:
  struct Layer {
    std::shared_ptr<const CellWeights<T>> weights;
    Buffer<T> h, h_next;  // (batch, H); they change places at every step
    Buffer<T> inner;      // (inner states, batch, padded)
    Buffer<T> gates;      // (batch, slots * padded)
  };

  void run_layer(std::size_t index, const InputRows<T>& x, Range panels);
  int wanted_threads() const;

  std::vector<Layer> layers_;
  Size batch_size_;
  int threads_;  // that pay
};

extern template class Stream<float>;
extern template class Stream<double>;

}  // namespace pyrnn
