#include "runtime/dense/dense.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "runtime/dense/plain_product.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// Numbers, if there are any, and zeros up to whole vectors.
template <class T>
Buffer<T> whole_vectors(const Kernels<T>& kernels, const T* numbers, Size count) {
  if (numbers == nullptr) return {};
  Buffer<T> all = Buffer<T>::zeros(quotient_up(count, kernels.lanes) * kernels.lanes);
  std::copy(numbers, numbers + count, all.data());
  return all;
}

}  // namespace

template <class T>
void linear(const Kernels<T>& kernels, const T* x, const T* weight, const T* bias, T* y, Size rows,
            Size in, Size out, Compute compute) {
  const Buffer<T> last = whole_vectors(kernels, bias, out);
  const PlainProduct<T> product{x, weight, true, last.data(), y, rows, in, out};
  if (compute == Compute::bfloat16) {
    multiply_packed(kernels, product,
                    pack_transposed(kernels, weight, out, in, Storage::bfloat16_pairs));
  } else {
    multiply(kernels, product);
  }
}

template <class T>
LinearWeights<T>::LinearWeights(const Kernels<T>& kernels, const T* plain_weight,
                                const T* plain_bias, Size in_size, Size out_size, Storage storage,
                                Compute compute)
    : in(in_size),
      out(out_size),
      weight(
          pack_transposed(kernels, plain_weight, out_size, in_size, packed_as(storage, compute))),
      bias(whole_vectors(kernels, plain_bias, out_size)) {}

template <class T>
void linear(const Kernels<T>& kernels, const T* x, const LinearWeights<T>& weights, T* y,
            Size rows) {
  multiply_packed(
      kernels,
      PlainProduct<T>{x, nullptr, true, weights.bias.data(), y, rows, weights.in, weights.out},
      weights.weight);
}

template <class T>
void linear_backward(const Kernels<T>& kernels, const T* x, const T* weight, const T* dy, T* dx,
                     T* dweight, T* dbias, Size rows, Size in, Size out, Compute compute) {
  if (rows == 0) {
    std::fill(dweight, dweight + out * in, T{0});
    std::fill(dbias, dbias + out, T{0});
    return;
  }
  const PlainProduct<T> to_x{dy, weight, false, nullptr, dx, rows, out, in};
  if (compute == Compute::bfloat16) {
    multiply_packed(kernels, to_x, pack_for_bfloat16(kernels, weight, out, in));
  } else {
    multiply(kernels, to_x);
  }

  const Size block = panel_vectors * kernels.lanes;
  // Totals are the gradients; sums of a bundle of blocks are, of the first one.
  constexpr Size bundle_rows = sum_block * blocks_together;
  const bool bundles = rows > bundle_rows;
  Buffer<T> bundle(bundles ? out * in : 0), low(bundles ? out * in : 0);
  Buffer<T> block_bias(out), bundle_bias(out), low_bias(out);
  const auto sum = [&](Range units, Range columns) {
    Buffer<T> scratch(kernels.outer_scratch(columns.size(), 0));
    OuterProduct<T> q{};
    set_matrix(q, dy, out, out, {units.begin / block, quotient_up(units.end, block)});
    q.side_count = 1;
    q.compute = compute;
    if (compute == Compute::bfloat16) q.tiles = usable_tiles();
    OuterSide<T>& side = q.sides[0];
    side.slot_end = q.slots;
    side.b = x + columns.begin;
    side.b_row = side.c_row = in;
    side.columns = columns.size();
    q.scratch = scratch.data();
    const auto sum_block_at = [&](Size first) {
      const Size count = std::min(sum_block, rows - first);
      const RowGroups these{&first, &count, 1};
      const bool of_first = first < bundle_rows, begins = first < 2 * bundle_rows;
      const bool ends = first + count == rows;
      const bool ends_bundle = !of_first && (ends || (first + count) % bundle_rows == 0);
      q.a_groups = side.b_groups = these;
      side.c = (of_first ? dweight : bundle.data()) + columns.begin;
      side.adds = first % bundle_rows > 0;
      kernels.outer_product(q);
      for (Size unit = units.begin; ends_bundle && unit < units.end; ++unit) {
        const Size offset = unit * in + columns.begin;
        kernels.add_to_totals(dweight + offset, bundle.data() + offset, low.data() + offset,
                              columns.size(), begins, ends);
      }
      if (columns.begin > 0) return;
      T* const bias = of_first ? dbias : bundle_bias.data();
      T* const block_sums = side.adds ? block_bias.data() : bias;
      kernels.column_sums(dy, out, these, units.begin, units.end, false, block_sums);
      if (side.adds) kernels.add(bias + units.begin, block_sums + units.begin, units.size());
      if (ends_bundle)
        kernels.add_to_totals(dbias + units.begin, bias + units.begin,
                              low_bias.data() + units.begin, units.size(), begins, ends);
    };
    in_pieces(
        {0, rows}, units.size() * columns.size(), sum_block,
        [&](Range some) {
          for (Size first = some.begin; first < some.end; first += sum_block) sum_block_at(first);
        },
        tuning::packing_piece_products);
  };
  const int threads = threads_for(rows * in * out, tuning::outer_product_grain);
  const Size units = quotient_up(quotient_up(out, block), threads) * block;
  const Size columns = quotient_up(quotient_up(in, kernels.lanes), threads) * kernels.lanes;
  if (std::min(units, out) * (in + tuning::packing_columns) <=
      out * (columns + tuning::packing_columns)) {
    parallel_on(threads, out, block, [&](Range mine) { sum(mine, {0, in}); });
  } else {
    parallel_on(threads, in, kernels.lanes, [&](Range mine) { sum({0, out}, mine); });
  }
}

template <class T>
void embedding(const std::int64_t* indices, const T* weight, T* y, Size count, Size width) {
  parallel_on(threads_for(count * width, tuning::copy_grain), count, 1, [&](Range mine) {
    in_pieces(mine, width * tuning::products_of_a_copy, 1, [&](Range some) {
      for (Size i = some.begin; i < some.end; ++i)
        std::copy(weight + indices[i] * width, weight + (indices[i] + 1) * width, y + i * width);
    });
  });
}

// Each thread looks at all indices, for those of its own rows. Nobody knows how often an index
// occurs, so that each addition's loss is kept, unless there are few.
template <class T>
void embedding_backward(const Kernels<T>& kernels, const std::int64_t* indices, const T* dy,
                        T* dweight, Size count, Size rows, Size width) {
  const bool many = count > sum_block;
  Buffer<T> low(many ? rows * width : 0);
  parallel_on(threads_for((rows + count) * width, tuning::copy_grain), rows, 1, [&](Range mine) {
    const auto each_piece = [&](const auto& work) {
      in_pieces(mine, width * tuning::products_of_a_copy, 1,
                [&](Range some) { work(some.begin * width, some.size() * width); });
    };
    each_piece([&](Size first, Size numbers) {
      std::fill(dweight + first, dweight + first + numbers, T(0));
      if (many) std::fill(low.data() + first, low.data() + first + numbers, T(0));
    });
    // What is lost is a sum too, so that it must not become large.
    const auto settle = [&](Size first, Size numbers) {
      kernels.finish_totals(dweight + first, low.data() + first, numbers);
      std::fill(low.data() + first, low.data() + first + numbers, T(0));
    };
    in_pieces({0, count}, width * tuning::products_of_a_copy, 1, [&](Range some) {
      for (Size i = some.begin; i < some.end; ++i) {
        if (i > 0 && i % numerics::settled_rows == 0) each_piece(settle);
        if (indices[i] < mine.begin || indices[i] >= mine.end) continue;
        T* const to = dweight + indices[i] * width;
        if (many) {
          kernels.add_to_totals(to, dy + i * width, low.data() + indices[i] * width, width, false,
                                false);
        } else {
          kernels.add(to, dy + i * width, width);
        }
      }
    });
    if (many) each_piece(settle);
  });
}

template <class T>
double softmax_cross_entropy(const Kernels<T>& kernels, const T* logits,
                             const std::int64_t* targets, T* dlogits, Size rows, Size columns) {
  std::vector<double> losses(static_cast<std::size_t>(rows));
  const Size grain = std::max<Size>(1, tuning::softmax_grain / columns);
  parallel_for(rows, grain, 1, [&](Range mine) {
    in_pieces(mine, columns * tuning::products_of_an_exponential, 1, [&](Range some) {
      kernels.softmax_cross_entropy(logits + some.begin * columns, targets + some.begin,
                                    dlogits + some.begin * columns, losses.data() + some.begin,
                                    some.size(), columns);
    });
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

template void linear(const Kernels<float>&, const float*, const float*, const float*, float*, Size,
                     Size, Size, Compute);
template void linear(const Kernels<double>&, const double*, const double*, const double*, double*,
                     Size, Size, Size, Compute);
template struct LinearWeights<float>;
template struct LinearWeights<double>;
template void linear(const Kernels<float>&, const float*, const LinearWeights<float>&, float*,
                     Size);
template void linear(const Kernels<double>&, const double*, const LinearWeights<double>&, double*,
                     Size);
template void linear_backward(const Kernels<float>&, const float*, const float*, const float*,
                              float*, float*, float*, Size, Size, Size, Compute);
template void linear_backward(const Kernels<double>&, const double*, const double*, const double*,
                              double*, double*, double*, Size, Size, Size, Compute);
template void embedding(const std::int64_t*, const float*, float*, Size, Size);
template void embedding(const std::int64_t*, const double*, double*, Size, Size);
template void embedding_backward(const Kernels<float>&, const std::int64_t*, const float*, float*,
                                 Size, Size, Size);
template void embedding_backward(const Kernels<double>&, const std::int64_t*, const double*,
                                 double*, Size, Size, Size);
template double softmax_cross_entropy(const Kernels<float>&, const float*, const std::int64_t*,
                                      float*, Size, Size);
template double softmax_cross_entropy(const Kernels<double>&, const double*, const std::int64_t*,
                                      double*, Size, Size);

}  // namespace pyrnn
