// Plain loops over arrays that the compiler vectorises: optimisers, clipping, sums. And the vector
// functions applied to arrays.
#pragma once

#include "isa/simd/math.hpp"
#include "isa/simd/partial.hpp"

namespace pyrnn {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

template <class V, V (*FUNCTION)(V)>
void map(const typename V::Scalar* x, typename V::Scalar* y, Size n) {
  for (Size i = 0; i < n; i += V::lanes)
    store_some<V>(FUNCTION(load_some<V>(x + i, n - i)), y + i, n - i);
}

template <class T>
void add(T* __restrict y, const T* __restrict x, Size n) {
  for (Size i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
double sum_of_squares(const T* x, Size n) {
  constexpr Size chains = 32;  // enough to hide the latency of additions
  double sums[chains] = {};
  Size i = 0;
  for (; i + chains <= n; i += chains) {
    for (Size j = 0; j < chains; ++j) {
      const double value = x[i + j];
      sums[j] += value * value;
    }
  }
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (double sum : sums) total += sum;
  return total;
}

template <class T>
void scale(T* x, T factor, Size n) {
  for (Size i = 0; i < n; ++i) x[i] *= factor;
}

template <class T>
void clip(T* x, T limit, Size n) {
  for (Size i = 0; i < n; ++i) {
    const T value = x[i];
    x[i] = value > limit ? limit : (value < -limit ? -limit : value);
  }
}

// v = momentum v + g;  p -= lr v, or with Nesterov p -= lr (g + momentum v)
template <class T>
void sgd(T* __restrict p, const T* __restrict g, T* __restrict velocity, T lr, T momentum,
         bool nesterov, T weight_decay, Size n) {
  if (velocity == nullptr) {
    for (Size i = 0; i < n; ++i) p[i] -= lr * (g[i] + weight_decay * p[i]);
    return;
  }
  const T along = nesterov ? momentum : T(1), gradient = nesterov ? T(1) : T(0);
  for (Size i = 0; i < n; ++i) {
    const T d = g[i] + weight_decay * p[i];
    const T v = momentum * velocity[i] + d;
    velocity[i] = v;
    p[i] -= lr * (gradient * d + along * v);
  }
}

// s += g^2;  p -= lr g / (sqrt(s) + eps)
template <class T>
void adagrad(T* __restrict p, const T* __restrict g, T* __restrict squares, T lr, T eps,
             T weight_decay, Size n) {
  for (Size i = 0; i < n; ++i) {
    const T d = g[i] + weight_decay * p[i];
    const T s = squares[i] + d * d;
    squares[i] = s;
    p[i] -= lr * d / (root(s) + eps);
  }
}

// s = alpha s + (1 - alpha) g^2;  p -= lr g / (sqrt(s) + eps)
template <class T>
void rmsprop(T* __restrict p, const T* __restrict g, T* __restrict squares, T lr, T alpha, T eps,
             T weight_decay, Size n) {
  for (Size i = 0; i < n; ++i) {
    const T d = g[i] + weight_decay * p[i];
    const T s = alpha * squares[i] + (1 - alpha) * d * d;
    squares[i] = s;
    p[i] -= lr * d / (root(s) + eps);
  }
}

// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr m^ / (sqrt(v^) + eps)
template <class T>
void adam(T* __restrict p, const T* __restrict g, T* __restrict m, T* __restrict v,
          const Adam<T>& a, Size n) {
  const T coupled = a.decoupled ? T(0) : a.weight_decay;
  const T shrink = a.decoupled ? 1 - a.lr * a.weight_decay : T(1);
  const T step = a.lr / a.correction1;
  const T unit_root = 1 / a.correction2_sqrt;
  for (Size i = 0; i < n; ++i) {
    const T d = g[i] + coupled * p[i];
    const T mean = a.beta1 * m[i] + (1 - a.beta1) * d;
    const T square = a.beta2 * v[i] + (1 - a.beta2) * d * d;
    m[i] = mean;
    v[i] = square;
    p[i] = p[i] * shrink - step * mean / (root(square) * unit_root + a.eps);
  }
}

}  // namespace
}  // namespace pyrnn
