// The single translation unit of an instruction set; compiled once for each, with its own flags and
// with PYRNN_ISA_NAME and PYRNN_KERNEL_TABLE naming it. Everything but the table is internal.
#include "isa/bfloat16/round.hpp"
#include "isa/bfloat16/tiles.hpp"
#include "isa/cells/cells.hpp"
#include "isa/cells/step.hpp"
#include "isa/depthwise.hpp"
#include "isa/elementwise.hpp"
#include "isa/fma_loop.hpp"
#include "isa/gemm/gather.hpp"
#include "isa/gemm/int8_quantize.hpp"
#include "isa/gemm/outer.hpp"
#include "isa/gemm/outer_bfloat16.hpp"
#include "isa/gemm/pack.hpp"
#include "isa/gemm/product.hpp"
#include "isa/logarithm.hpp"
#include "isa/softmax.hpp"
#include "isa/totals.hpp"
#include "kernel_table.hpp"

namespace pyrnn {
namespace {

template <class V, class... Cells>
constexpr Kernels<typename V::Scalar> make_kernels(CellList<Cells...>) {
  using T = typename V::Scalar;
  static_assert(sizeof...(Cells) == static_cast<int>(CellIndex::count),
                "cells.hpp and CellIndex list the same cells");
  Kernels<T> k{};
  k.lanes = V::lanes;
  int index = 0;
  ((k.cells[index++] = cell_kernels<V, Cells>()), ...);
  k.product = product<V>;
  k.gather_product = gather_product<V>;
  if constexpr (sizeof(T) == sizeof(float)) {
    k.int8_storage = int8_storage;
    k.quantize_rows = quantize_rows;
    k.quantize_panels = quantize_panels;
    k.int8_round = int8_round;
    k.round_rows = round_rows;
    k.pair_panels = pair_panels;
    k.pair_vectors = pair_vectors;
    k.amx_tiles = amx_tiles;
    k.emulated_tiles = emulated_tiles;
  }
  k.scatter_sums = scatter_sums<V>;
  k.outer_product = outer_product_by_type<V>;
  k.outer_scratch = outer_scratch<V>;
  k.pack_weights = pack_weights<V>;
  k.pack_matrix = pack_matrix<V>;
  k.transpose = transpose_matrix<V>;
  k.depthwise = depthwise<V>;
  k.column_sums = column_sums<V>;
  k.add_to_totals = add_to_totals<V>;
  k.finish_totals = finish_totals<V>;
  k.fma_loop = fma_loop<V>;
  k.exp = map<V, vector_exp<V>>;
  k.log = map_logarithm<T>;
  k.tanh = map<V, vector_tanh<V>>;
  k.sigmoid = map<V, vector_sigmoid<V>>;
  k.sqrt = map<V, square_root>;
  k.activation = activation<V>;
  k.activation_backward = activation_backward<V>;
  k.softmax_cross_entropy = softmax_cross_entropy<V>;
  k.add = add<T>;
  k.sum_of_squares = sum_of_squares<T>;
  k.scale = scale<T>;
  k.clip = clip<T>;
  k.sgd = sgd<T>;
  k.adagrad = adagrad<V>;
  k.rmsprop = rmsprop<V>;
  k.adam = adam<V>;
  return k;
}

constexpr KernelTable table{PYRNN_ISA_NAME, make_kernels<Vector<float>>(AllCells{}),
                            make_kernels<Vector<double>>(AllCells{})};

}  // namespace

const KernelTable& PYRNN_KERNEL_TABLE() { return table; }

}  // namespace pyrnn
