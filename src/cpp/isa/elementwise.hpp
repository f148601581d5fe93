// Loops over arrays, element by element: clipping, sums and SGD, which the compiler vectorises, the
// optimisers that take square roots, and the vector functions. The optimisers' products are rounded
// before they are added, so that every instruction set gives the same bits.
#pragma once

#include "isa/cells/activations.hpp"
#include "isa/simd/math.hpp"
#include "isa/simd/partial.hpp"
#include "numerics.hpp"

namespace pyrnn {
namespace {

// body(i, count) for vectors of n elements, from element i on; the last may have fewer than lanes.
template <class V, class Body>
void each_vector(Size n, const Body& body) {
  Size i = 0;
  for (; i + V::lanes <= n; i += V::lanes) body(i, Size{V::lanes});
  if (i < n) body(i, n - i);
}

template <class V, V (*FUNCTION)(V)>
void map(const typename V::Scalar* x, typename V::Scalar* y, Size n) {
  each_vector<V>(n, [=](Size i, Size count) {
    store_some<V>(FUNCTION(load_some<V>(x + i, count)), y + i, count);
  });
}

template <class V, class T = typename V::Scalar>
void activation(const Activation<T>& f, const T* x, T* y, Size n) {
  each_vector<V>(n, [=](Size i, Size count) {
    store_some<V>(activated(f, load_some<V>(x + i, count)), y + i, count);
  });
}

template <class V, class T = typename V::Scalar>
void activation_backward(const Activation<T>& f, const T* x, const T* dy, T* dx, Size n) {
  each_vector<V>(n, [=](Size i, Size count) {
    const V d = load_some<V>(dy + i, count) * slope(f, load_some<V>(x + i, count));
    store_some<V>(d, dx + i, count);
  });
}

template <class T>
void add(T* __restrict y, const T* __restrict x, Size n) {
  for (Size i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
double sum_of_squares(const T* x, Size n) {
  constexpr Size chains = numerics::squares_side_by_side;
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
    for (Size i = 0; i < n; ++i)
      p[i] -= lr * (weight_decay == 0 ? g[i] : g[i] + weight_decay * p[i]);
    return;
  }
  for (Size i = 0; i < n; ++i) {
    const T d = weight_decay == 0 ? g[i] : g[i] + weight_decay * p[i];
    const T v = momentum * velocity[i] + d;
    velocity[i] = v;
    p[i] -= lr * (nesterov ? d + momentum * v : v);
  }
}

// g + weight_decay p; without decay just g, whatever p is.
template <class V, class T = typename V::Scalar>
V decayed(V g, V p, T weight_decay) {
  return weight_decay == 0 ? g : g + V::broadcast(weight_decay) * p;
}

// s += g^2;  p -= lr g / (sqrt(s) + eps)
template <class V, class T = typename V::Scalar>
void adagrad(T* p, const T* g, T* squares, T lr, T eps, T weight_decay, Size n) {
  const V rate = V::broadcast(lr), least = V::broadcast(eps);
  each_vector<V>(n, [=](Size i, Size count) {
    const V x = load_some<V>(p + i, count);
    const V d = decayed(load_some<V>(g + i, count), x, weight_decay);
    const V s = load_some<V>(squares + i, count) + d * d;
    store_some(s, squares + i, count);
    store_some(x - rate * d / (square_root(s) + least), p + i, count);
  });
}

// s = alpha s + fresh g^2;  p -= lr g / (sqrt(s) + eps)
template <class V, class T = typename V::Scalar>
void rmsprop(T* p, const T* g, T* squares, T lr, T alpha, T fresh, T eps, T weight_decay, Size n) {
  const V rate = V::broadcast(lr), least = V::broadcast(eps);
  const V keep = V::broadcast(alpha), take = V::broadcast(fresh);
  each_vector<V>(n, [=](Size i, Size count) {
    const V x = load_some<V>(p + i, count);
    const V d = decayed(load_some<V>(g + i, count), x, weight_decay);
    const V s = keep * load_some<V>(squares + i, count) + take * d * d;
    store_some(s, squares + i, count);
    store_some(x - rate * d / (square_root(s) + least), p + i, count);
  });
}

// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr m^ / (sqrt(v^) + eps)
// m begins at what weighs more, so that the two weights are one together however they are rounded.
template <class V, class T = typename V::Scalar>
void adam(T* p, const T* g, T* means, T* squares, const Adam<T>& a, Size n) {
  const bool slow = a.fresh1 < T(0.5);
  const V smaller = V::broadcast(slow ? a.fresh1 : a.beta1), shrink = V::broadcast(a.shrink);
  const V beta2 = V::broadcast(a.beta2), fresh2 = V::broadcast(a.fresh2);
  const V step = V::broadcast(a.step), least = V::broadcast(a.eps);
  const V unit_root = V::broadcast(a.unit_root);
  const T weight_decay = a.weight_decay;
  each_vector<V>(n, [=](Size i, Size count) {
    const V x = load_some<V>(p + i, count), old = load_some<V>(means + i, count);
    const V d = decayed(load_some<V>(g + i, count), x, weight_decay);
    const V m = slow ? old + smaller * (d - old) : d + smaller * (old - d);
    const V v = beta2 * load_some<V>(squares + i, count) + fresh2 * d * d;
    store_some(m, means + i, count);
    store_some(v, squares + i, count);
    const V change = step * m / (square_root(v) * unit_root + least);
    store_some(x * shrink - change, p + i, count);
  });
}

}  // namespace
}  // namespace pyrnn
