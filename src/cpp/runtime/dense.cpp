#include "runtime/dense.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "runtime/buffer.hpp"
#include "runtime/parallel.hpp"

namespace pyrnn {
namespace {

// Multiply-adds that a thread must get to pay for its waking.
constexpr Size grain_products = 200'000;

// C (rows, columns) = init + A (rows, k) B, B packed
template <class T>
void packed_product(const Kernels<T>& kernels, const T* a, const T* packed, const T* init,
                    Size init_panel, T* c, Size rows, Size k, Size columns) {
  Product<T> whole{};
  whole.a_row = k;
  whole.b = packed;
  whole.width = panel_vectors;
  whole.vectors = quotient_up(columns, kernels.lanes);
  whole.init = init;
  whole.init_panel = init_panel;
  whole.c_row = columns;
  whole.c_panel = panel_vectors * kernels.lanes;
  whole.columns = columns;
  whole.k_outer = 1;
  whole.k_inner = k;
  whole.panel_end = quotient_up(whole.vectors, panel_vectors);
  const Size grain = std::max<Size>(8, grain_products / std::max<Size>(1, k * columns));
  parallel_for(rows, grain, 1, [&](Range part) {
    Product<T> product = whole;
    product.a = a + part.begin * k;
    product.c = c + part.begin * columns;
    product.rows = part.size();
    kernels.product(product);
  });
}

}  // namespace

template <class T>
void linear(const Kernels<T>& kernels, const T* x, const T* weight, const T* bias, T* y, Size rows,
            Size in, Size out) {
  const Size padded = quotient_up(out, kernels.lanes) * kernels.lanes;
  Buffer<T> packed(padded * in);
  kernels.pack_matrix(weight, in, in, out, true, packed.data());
  Buffer<T> init = Buffer<T>::zeros(padded);
  if (bias != nullptr) std::copy(bias, bias + out, init.data());
  packed_product(kernels, x, packed.data(), init.data(), panel_vectors * kernels.lanes, y, rows, in,
                 out);
}

template <class T>
void linear_backward(const Kernels<T>& kernels, const T* x, const T* weight, const T* dy, T* dx,
                     T* dweight, T* dbias, Size rows, Size in, Size out) {
  if (rows == 0) {
    std::fill(dweight, dweight + out * in, T{0});
    std::fill(dbias, dbias + out, T{0});
    return;
  }
  const Size lanes = kernels.lanes;
  Buffer<T> packed(quotient_up(in, lanes) * lanes * out);
  kernels.pack_matrix(weight, in, out, in, false, packed.data());
  const Buffer<T> zeros = Buffer<T>::zeros(panel_vectors * lanes);
  packed_product(kernels, dy, packed.data(), zeros.data(), 0, dx, rows, out, in);

  const Size first = 0;
  const RowGroups all{&first, &rows, 1};
  const Size block = panel_vectors * lanes;
  const Size grain = std::max<Size>(block, grain_products / std::max<Size>(1, rows * in));
  parallel_for(out, grain, block, [&](Range part) {
    Buffer<T> scratch(kernels.outer_scratch(in, 0));
    OuterProduct<T> q{};
    q.a = dy;
    q.a_row = out;
    q.a_groups = all;
    q.slots = 1;
    q.unit_vectors = panel_vectors;
    q.units = out;
    q.panel_begin = part.begin / block;
    q.panel_end = quotient_up(part.end, block);
    q.large = is_large_sum(rows, in * out);
    q.side_count = 1;
    OuterSide<T>& side = q.sides[0];
    side.slot_end = 1;
    side.b = x;
    side.b_groups = all;
    side.b_row = side.columns = side.c_row = in;
    side.c = dweight;
    q.scratch = scratch.data();
    kernels.outer_product(q);
    kernels.column_sums(dy, out, all, part.begin, part.end, false, dbias);
  });
}

template <class T>
double softmax_cross_entropy(const Kernels<T>& kernels, const T* logits,
                             const std::int64_t* targets, T* dlogits, Size rows, Size columns) {
  std::vector<double> losses(static_cast<std::size_t>(rows));
  const Size grain = std::max<Size>(1, 16'000 / columns);
  parallel_for(rows, grain, 1, [&](Range part) {
    kernels.softmax_cross_entropy(logits + part.begin * columns, targets + part.begin,
                                  dlogits + part.begin * columns, losses.data() + part.begin,
                                  part.size(), columns);
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

template void linear(const Kernels<float>&, const float*, const float*, const float*, float*, Size,
                     Size, Size);
template void linear(const Kernels<double>&, const double*, const double*, const double*, double*,
                     Size, Size, Size);
template void linear_backward(const Kernels<float>&, const float*, const float*, const float*,
                              float*, float*, float*, Size, Size, Size);
template void linear_backward(const Kernels<double>&, const double*, const double*, const double*,
                              double*, double*, double*, Size, Size, Size);
template double softmax_cross_entropy(const Kernels<float>&, const float*, const std::int64_t*,
                                      float*, Size, Size);
template double softmax_cross_entropy(const Kernels<double>&, const double*, const std::int64_t*,
                                      double*, Size, Size);

}  // namespace pyrnn
