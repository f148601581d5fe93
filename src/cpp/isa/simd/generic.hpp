// The vector type from the compiler's own vectors of 16 bytes: the baseline everywhere (SSE2 on
// x86-64), and NEON on arm64, where only the fused multiply-add needs an intrinsic.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "isa/simd/powers.hpp"

namespace pyrnn {
namespace {

template <class T>
struct GenericTypes;
template <>
struct GenericTypes<float> {
  typedef float Native __attribute__((vector_size(16)));
  typedef std::int32_t Integers __attribute__((vector_size(16)));
  using Integer = std::int32_t;
  static constexpr int mantissa_bits = 23, bias = 127;
};
template <>
struct GenericTypes<double> {
  typedef double Native __attribute__((vector_size(16)));
  typedef std::int64_t Integers __attribute__((vector_size(16)));
  using Integer = std::int64_t;
  static constexpr int mantissa_bits = 52, bias = 1023;
};

template <class T>
struct Vector {
  using Scalar = T;
  using Native = typename GenericTypes<T>::Native;
  using Mask = typename GenericTypes<T>::Integers;
  static constexpr int lanes = 16 / static_cast<int>(sizeof(T));
#if defined(__aarch64__)
  static constexpr int accumulators = 24;  // of 32 registers
#else
  static constexpr int accumulators = 8;  // of 16: a product takes one before it is added
#endif
  Native v;

  static Vector load(const T* p) {
    Vector x;
    std::memcpy(&x.v, p, sizeof(x.v));
    return x;
  }
  static Vector load_partial(const T* p, std::ptrdiff_t n) {
    Vector x = zero();
    for (std::ptrdiff_t lane = 0; lane < n; ++lane) x.v[lane] = p[lane];
    return x;
  }
  // Blocks of 16 bytes, which begin `apart` numbers after each other: one here.
  static Vector load_blocks(const T* p, std::ptrdiff_t) { return load(p); }
  static Vector broadcast(T x) { return {x - Native{}}; }
  static Vector zero() { return {Native{}}; }
  void store(T* p) const { std::memcpy(p, &v, sizeof(v)); }
  void store_partial(T* p, std::ptrdiff_t n) const {
    for (std::ptrdiff_t lane = 0; lane < n; ++lane) p[lane] = v[lane];
  }

  friend Vector operator+(Vector a, Vector b) { return {a.v + b.v}; }
  friend Vector operator-(Vector a, Vector b) { return {a.v - b.v}; }
  friend Vector operator*(Vector a, Vector b) { return {a.v * b.v}; }
  friend Vector operator/(Vector a, Vector b) { return {a.v / b.v}; }
  friend Mask operator<(Vector a, Vector b) { return a.v < b.v; }
};

template <class T>
inline typename GenericTypes<T>::Integers as_bits(Vector<T> a) {
  typename GenericTypes<T>::Integers bits;
  std::memcpy(&bits, &a.v, sizeof(bits));
  return bits;
}
template <class T>
inline Vector<T> from_bits(typename GenericTypes<T>::Integers bits) {
  Vector<T> a;
  std::memcpy(&a.v, &bits, sizeof(bits));
  return a;
}

#if defined(__aarch64__)
// a * b + c, rounded once
inline Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
  return {vfmaq_f32(c.v, a.v, b.v)};
}
inline Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
  return {vfmaq_f64(c.v, a.v, b.v)};
}
// c - a * b, rounded once
inline Vector<float> negative_multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
  return {vfmsq_f32(c.v, a.v, b.v)};
}
inline Vector<double> negative_multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
  return {vfmsq_f64(c.v, a.v, b.v)};
}
#else
// a * b + c: without the instruction, rounded twice
template <class T>
inline Vector<T> multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
  return a * b + c;
}
template <class T>
inline Vector<T> negative_multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
  return c - a * b;
}
// a - q b for q that is about a / b, all but exactly: from halves of the digits of q and b
inline Vector<double> upper_digits(Vector<double> a) {
  constexpr std::int64_t upper = -(std::int64_t{1} << 27);
  return from_bits<double>(as_bits(a) & GenericTypes<double>::Integers{upper, upper});
}
inline Vector<double> remainder(Vector<double> a, Vector<double> q, Vector<double> b) {
  const Vector<double> q_high = upper_digits(q), b_high = upper_digits(b);
  const Vector<double> q_low = q - q_high, b_low = b - b_high;
  return ((a - q_high * b_high) - q_high * b_low) - q_low * b_high - q_low * b_low;
}
#endif

template <class T>
inline Vector<T> select(typename Vector<T>::Mask mask, Vector<T> yes, Vector<T> no) {
  return from_bits<T>((as_bits(yes) & mask) | (as_bits(no) & ~mask));
}
// The larger; the second where either is NaN
template <class T>
inline Vector<T> maximum(Vector<T> a, Vector<T> b) {
  return select<T>(b < a, a, b);
}
template <class T>
inline Vector<T> minimum(Vector<T> a, Vector<T> b) {
  return select<T>(a < b, a, b);
}
template <class T>
inline Vector<T> square_root(Vector<T> a) {
  Vector<T> root;
  for (int lane = 0; lane < Vector<T>::lanes; ++lane)
    root.v[lane] = static_cast<T>(__builtin_sqrt(a.v[lane]));
  return root;
}
template <class T>
inline typename GenericTypes<T>::Integers sign_bit() {
  return as_bits(Vector<T>::broadcast(T(-0.0)));
}
template <class T>
inline Vector<T> negative_absolute(Vector<T> a) {
  return from_bits<T>(as_bits(a) | sign_bit<T>());
}
// A non-negative magnitude with the sign of another
template <class T>
inline Vector<T> with_sign_of(Vector<T> magnitude, Vector<T> sign) {
  return from_bits<T>(as_bits(magnitude) | (as_bits(sign) & sign_bit<T>()));
}
// 2^n for whole n within the normal range
template <class T>
inline Vector<T> power_of_two(Vector<T> n) {
  using Types = GenericTypes<T>;
  const Vector<T> shifted = n + Vector<T>::broadcast(no_fraction<T> + T(Types::bias));
  return from_bits<T>(as_bits(shifted) << Types::mantissa_bits);
}

template <int A, int B, int C, int D>
inline Vector<float> pick(Vector<float> a, Vector<float> b) {
#if defined(__clang__)
  return {__builtin_shufflevector(a.v, b.v, A, B, C, D)};
#else
  return {__builtin_shuffle(a.v, b.v, GenericTypes<float>::Integers{A, B, C, D})};
#endif
}
// Rows of numbers become columns, within each block of 16 bytes on its own.
inline void transpose_blocks(Vector<float> (&rows)[4]) {
  const Vector<float> low01 = pick<0, 4, 1, 5>(rows[0], rows[1]);
  const Vector<float> low23 = pick<0, 4, 1, 5>(rows[2], rows[3]);
  const Vector<float> high01 = pick<2, 6, 3, 7>(rows[0], rows[1]);
  const Vector<float> high23 = pick<2, 6, 3, 7>(rows[2], rows[3]);
  rows[0] = pick<0, 1, 4, 5>(low01, low23);
  rows[1] = pick<2, 3, 6, 7>(low01, low23);
  rows[2] = pick<0, 1, 4, 5>(high01, high23);
  rows[3] = pick<2, 3, 6, 7>(high01, high23);
}
inline void transpose_blocks(Vector<double> (&rows)[2]) {
  using Native = Vector<double>::Native;
  const Native first = rows[0].v, second = rows[1].v;
  rows[0].v = Native{first[0], second[0]};
  rows[1].v = Native{first[1], second[1]};
}

}  // namespace
}  // namespace pyrnn
