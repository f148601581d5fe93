// The one border between code compiled per instruction set and the rest: plain structs of function
// pointers. Nothing here knows of threads, Python or std containers.
#pragma once

#include <cstdint>

#include "kernel_table/activations.hpp"
#include "kernel_table/cell_shape.hpp"
#include "kernel_table/dense.hpp"
#include "kernel_table/outer_product.hpp"
#include "kernel_table/product.hpp"
#include "kernel_table/rows.hpp"
#include "kernel_table/step.hpp"
#include "kernel_table/storage.hpp"

namespace pyrnn {

enum class CellIndex : int {
  rnn_tanh,
  rnn_relu,
  lstm,
  gru,
  lstm_peephole,
  lstm_coupled,
  lstm_coupled_peephole,
  gru_reset_before,
  lstm_layer_norm,
  gru_layer_norm,
  min_gru,
  rnn_activated,
  lstm_activated,
  gru_activated,
  lstm_peephole_activated,
  lstm_coupled_activated,
  lstm_coupled_peephole_activated,
  gru_reset_before_activated,
  count
};

template <class T>
struct Kernels {
  Size lanes;
  CellKernels<T> cells[static_cast<int>(CellIndex::count)];

  void (*product)(const Product<T>&);
  // The same for one-hot rows of A: (init + row index[m] of B) + bias; `a` is not looked at,
  // k_outer is 1, and a_group counts indices
  void (*gather_product)(const Product<T>&, const std::int64_t* indices);
  // int8 weights, of float32 alone: which layout products take here, with rows of A of 8 bits or of
  // 16, and how it is made
  Storage (*int8_storage)(bool bytes);
  void (*quantize_rows)(const QuantizeRows<T>&);
  void (*quantize_panels)(const QuantizePanels<T>&);
  void (*int8_round)(const T* row, Size n, T* rounded);  // what a row of weights becomes
  // bfloat16 as the type of products, of float32 alone
  void (*round_rows)(const RoundRows<T>&);
  void (*pair_panels)(const PairPanels<T>&);
  void (*pair_vectors)(const PairVectors&);
  // Null where vectors are no row of a tile
  const TileFunctions *amx_tiles, *emulated_tiles;
  void (*outer_product)(const OuterProduct<T>&);
  Size (*outer_scratch)(Size columns, Size other_columns);
  void (*pack_weights)(const PackWeights<T>&);
  // Plain (k, columns) row-major matrix into panels; `transposed` takes (columns, k)
  void (*pack_matrix)(const T* source, Size source_row, Size k, Size columns, bool transposed,
                      T* packed);
  // to[c, r] = from[r, c]
  void (*transpose)(const T* from, Size from_row, Size rows, Size columns, T* to, Size to_row);
  void (*depthwise)(const Depthwise<T>&);
  // sums[j] (+)= sum over rows of a[row, j], j in [begin, end)
  void (*column_sums)(const T* a, Size a_row, RowGroups groups, Size begin, Size end,
                      bool accumulate, T* sums);

  // sums[index[index_row], j] += a[row, j], j in [begin, end): whole vectors; groups pair off
  void (*scatter_sums)(const T* a, Size a_row, RowGroups groups, const std::int64_t* indices,
                       RowGroups index_groups, Size begin, Size end, T* sums, Size sums_row);
  // Adds sums to totals, and to `low` what is lost, which begins there or ends there: then totals
  // get it. Or the totals alone get it.
  void (*add_to_totals)(T* totals, const T* sums, T* low, Size n, bool begins, bool ends);
  void (*finish_totals)(T* totals, const T* low, Size n);

  // Multiply-adds in registers only; `sink` takes a vector. Returns the operations done.
  double (*fma_loop)(Size iterations, T* sink);

  // y[i] = f(x[i])
  void (*exp)(const T* x, T* y, Size n);
  void (*log)(const T* x, T* y, Size n);
  void (*tanh)(const T* x, T* y, Size n);
  void (*sigmoid)(const T* x, T* y, Size n);
  void (*sqrt)(const T* x, T* y, Size n);
  void (*activation)(const Activation<T>& f, const T* x, T* y, Size n);
  // dx[i] = dy[i] f'(x[i])
  void (*activation_backward)(const Activation<T>& f, const T* x, const T* dy, T* dx, Size n);

  // Row-wise: losses = -ln softmax[target], dlogits = softmax - onehot(target).
  void (*softmax_cross_entropy)(const T* logits, const std::int64_t* targets, T* dlogits,
                                double* losses, Size rows, Size columns);
  void (*add)(T* y, const T* x, Size n);  // y += x
  double (*sum_of_squares)(const T* x, Size n);
  void (*scale)(T* x, T factor, Size n);
  void (*clip)(T* x, T limit, Size n);
  void (*sgd)(T* p, const T* g, T* velocity, T lr, T momentum, bool nesterov, T weight_decay,
              Size n);
  void (*adagrad)(T* p, const T* g, T* squares, T lr, T eps, T weight_decay, Size n);
  void (*rmsprop)(T* p, const T* g, T* squares, T lr, T alpha, T fresh, T eps, T weight_decay,
                  Size n);
  void (*adam)(T* p, const T* g, T* m, T* v, const Adam<T>& adam, Size n);
};

struct KernelTable {
  const char* isa;
  Kernels<float> f32;
  Kernels<double> f64;
};

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelTable& table) {
  return table.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelTable& table) {
  return table.f64;
}

// Each is defined by its own compilation of isa/kernels.cpp, if that instruction set was built.
const KernelTable& kernel_table_baseline();
const KernelTable& kernel_table_avx2();
const KernelTable& kernel_table_avx512();
const KernelTable& kernel_table_neon();

}  // namespace pyrnn
