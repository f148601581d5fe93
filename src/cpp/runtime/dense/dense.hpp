// Linear layers, embeddings, cross-entropy: the parts of a model around its recurrent layers.
#pragma once

#include <cstdint>

#include "kernel_table.hpp"
#include "runtime/layout/panels.hpp"
#include "runtime/memory/buffer.hpp"

namespace pyrnn {

// y (rows, out) = x (rows, in) W (out, in)ᵀ + b (out,) or null
template <class T>
void linear(const Kernels<T>& kernels, const T* x, const T* weight, const T* bias, T* y, Size rows,
            Size in, Size out, Compute compute);

// The same with W and b packed once, and W stored as it is or narrower.
template <class T>
struct LinearWeights {
  Size in, out;
  Panels<T> weight;
  Buffer<T> bias;  // in whole vectors

  LinearWeights(const Kernels<T>& kernels, const T* plain_weight, const T* plain_bias, Size in_size,
                Size out_size, Storage storage, Compute compute);
};
template <class T>
void linear(const Kernels<T>& kernels, const T* x, const LinearWeights<T>& weights, T* y,
            Size rows);

// dx (rows, in), dweight (out, in), dbias (out,) from dy (rows, out)
template <class T>
void linear_backward(const Kernels<T>& kernels, const T* x, const T* weight, const T* dy, T* dx,
                     T* dweight, T* dbias, Size rows, Size in, Size out, Compute compute);

// y (count, width) = rows of weight (rows, width)
template <class T>
void embedding(const std::int64_t* indices, const T* weight, T* y, Size count, Size width);

// dweight (rows, width): for each row, the sum of those of dy (count, width) at which it was looked
// up, in their order
template <class T>
void embedding_backward(const Kernels<T>& kernels, const std::int64_t* indices, const T* dy,
                        T* dweight, Size count, Size rows, Size width);

// dlogits (rows, columns); returns the sum over rows of -ln softmax[target]
template <class T>
double softmax_cross_entropy(const Kernels<T>& kernels, const T* logits,
                             const std::int64_t* targets, T* dlogits, Size rows, Size columns);

}  // namespace pyrnn
