// Products with one-hot rows: a choice of rows of packed weights forward, a scatter of sums back.
#pragma once

#include "isa/gemm/product.hpp"

namespace pyrnn {
namespace {

// C[m, panel] = (init[panel] + B[index[m], panel]) + bias[panel], with vector j of a row of a panel
// of B as load(row, panel, width, j) gives it.
template <class V, class Load>
void gather_loaded(const Product<typename V::Scalar>& q, const std::int64_t* indices,
                   const Load& load) {
  for (Size i = 0; i < q.groups * q.rows; ++i) {
    const Size group = i / q.rows, row = i % q.rows;
    const std::int64_t index = indices[group * q.a_group + row];
    for (Size panel = q.panel_begin; panel < q.panel_end; ++panel) {
      const Size width = smaller(q.width, q.vectors - panel * q.width);
      const auto tile = tile_at<V>(q, row, panel);
      for (int j = 0; j < width; ++j) {
        const Size offset = vector_at<V>(tile, j);
        V sum = V::load(tile.init + offset) + load(index, panel, width, j);
        if (tile.bias != nullptr) sum = sum + V::load(tile.bias + offset);
        sum.store(tile.c + group * q.c_group + offset);
      }
    }
  }
}

template <class V, Storage S>
void gather_stored(const Product<typename V::Scalar>& q, const std::int64_t* indices) {
  using B = Stored<V, S>;
  const auto* const all = static_cast<const typename B::Number*>(q.b);
  const Size b_panel = q.k_inner * q.width * V::lanes;
  gather_loaded<V>(q, indices, [&](Size k, Size panel, Size width, Size j) {
    const Size together = section_width<V>(static_cast<int>(width)), in_row = j % together;
    return B::load(all + panel * b_panel + offset_in_panel<V>(k, j - in_row, q.k_inner, width),
                   in_row, together);
  });
}

template <class V>
void gather_product(const Product<typename V::Scalar>& q, const std::int64_t* indices) {
  if constexpr (sizeof(typename V::Scalar) == sizeof(float)) {
    if (is_int8(q.storage))
      return gather_loaded<V>(q, indices, [&](Size k, Size panel, Size width, Size j) {
        return int8_weights(q, k, panel, width, j);
      });
    if (q.storage == Storage::bfloat16_pairs)
      return gather_loaded<V>(q, indices, [&](Size k, Size panel, Size width, Size j) {
        return bfloat16_weights(q, k, panel, width, j);
      });
  }
  with_storage<V>(q.storage, [&](auto s) { gather_stored<V, s.value>(q, indices); });
}

// sums[index[s], begin:end] += a[r, begin:end], rows r and s in the order of their groups; whole
// vectors
template <class V>
void scatter_sums(const typename V::Scalar* a, Size a_row, RowGroups groups,
                  const std::int64_t* indices, RowGroups index_groups, Size begin, Size end,
                  typename V::Scalar* sums, Size sums_row) {
  for (Size group = 0; group < groups.count; ++group) {
    for (Size row = 0; row < groups.rows[group]; ++row) {
      const auto* from = a + (groups.first[group] + row) * a_row;
      auto* to = sums + indices[index_groups.first[group] + row] * sums_row;
      for (Size j = begin; j < end; j += V::lanes)
        (V::load(to + j) + V::load(from + j)).store(to + j);
    }
  }
}

}  // namespace
}  // namespace pyrnn
