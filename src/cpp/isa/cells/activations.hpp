// Activations that are chosen when a layer is made, and their slopes at a pre-activation.
//
// A switch for each vector costs little beside the functions; as calls they keep the code of the
// many cells small.
#pragma once

#include "isa/simd/math.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// ln(1 + t) for t in [0, 1]: 2 artanh(t / (2 + t)) by its series.
template <class V>
inline V log_plus_one(V t) {
  using T = typename V::Scalar;
  constexpr int terms = sizeof(T) == 4 ? 9 : 18;  // what is left out is below (1/9)^terms
  const V s = t / (V::broadcast(2) + t), square = s * s;
  V sum = V::broadcast(T(1) / T(2 * terms - 1));
#pragma GCC unroll 1
  for (int k = terms - 2; k >= 0; --k)
    sum = multiply_add(sum, square, V::broadcast(T(1) / T(2 * k + 1)));
  return (s + s) * sum;
}

// e^x - 1 for x <= 0, without cancellation: 2 t / (1 - t) with t = tanh(x / 2)
template <class V>
inline V negative_expm1(V x) {
  const V t = vector_tanh(x * V::broadcast(0.5f));
  return (t + t) / (V::broadcast(1) - t);
}

template <class V>
inline V bounded(V x, typename V::Scalar clip) {
  return minimum(V::broadcast(clip), maximum(V::broadcast(-clip), x));
}

// f(x)
template <class V>
[[gnu::noinline]] V activated(const Activation<typename V::Scalar>& f, V x) {
  const V zero = V::zero(), one = V::broadcast(1);
  const V alpha = V::broadcast(f.alpha), beta = V::broadcast(f.beta);
  switch (f.function) {
    case Function::sigmoid: return vector_sigmoid(x);
    case Function::tanh: return vector_tanh(x);
    case Function::relu: return maximum(zero, x);
    case Function::hard_sigmoid: return minimum(one, maximum(zero, multiply_add(alpha, x, beta)));
    case Function::identity: return x;
    case Function::softsign: return x / (one - negative_absolute(x));
    case Function::leaky_relu: return select(zero < x, x, alpha * x);
    case Function::elu: return select(zero < x, x, alpha * negative_expm1(x));
    case Function::affine: return multiply_add(alpha, x, beta);
    case Function::scaled_tanh: return alpha * vector_tanh(beta * x);
    case Function::thresholded_relu: return select(alpha < x, x, zero);
    case Function::softplus:
      return maximum(zero, x) + log_plus_one(vector_exp(negative_absolute(x)));
  }
  return x;
}

// f'(x)
template <class V>
[[gnu::noinline]] V slope(const Activation<typename V::Scalar>& f, V x) {
  const V zero = V::zero(), one = V::broadcast(1);
  const V alpha = V::broadcast(f.alpha), beta = V::broadcast(f.beta);
  switch (f.function) {
    case Function::sigmoid: {
      const V y = vector_sigmoid(x);
      return y * (one - y);
    }
    case Function::tanh: {
      const V y = vector_tanh(x);
      return negative_multiply_add(y, y, one);
    }
    case Function::relu: return select(zero < x, one, zero);
    case Function::hard_sigmoid: {
      const V y = multiply_add(alpha, x, beta);
      return select(zero < y, select(y < one, alpha, zero), zero);
    }
    case Function::identity: return one;
    case Function::softsign: {
      const V y = one / (one - negative_absolute(x));
      return y * y;
    }
    case Function::leaky_relu: return select(zero < x, one, alpha);
    case Function::elu: return select(zero < x, one, alpha * vector_exp(minimum(zero, x)));
    case Function::affine: return alpha;
    case Function::scaled_tanh: {
      const V y = vector_tanh(beta * x);
      return alpha * beta * negative_multiply_add(y, y, one);
    }
    case Function::thresholded_relu: return select(alpha < x, one, zero);
    case Function::softplus: return vector_sigmoid(x);
  }
  return one;
}

// What goes into a gate or a candidate is bounded first.
template <class V>
inline V clipped(const Activation<typename V::Scalar>& f, typename V::Scalar clip, V x) {
  return activated(f, bounded(x, clip));
}

template <class V>
inline V clipped_slope(const Activation<typename V::Scalar>& f, typename V::Scalar clip, V x) {
  const V inner = slope(f, bounded(x, clip));
  return select(V::broadcast(clip) < V::zero() - negative_absolute(x), V::zero(), inner);
}

}  // namespace
}  // namespace pyrnn
