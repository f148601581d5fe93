// Packed weights of the backward pass: of the whole blocks of units, then of the units that are
// left, as rows of pre-activations hold them.
#pragma once

#include <utility>

#include "runtime/layout/panels.hpp"

namespace pyrnn {

template <class T>
class BackPanels {
 public:
  BackPanels() = default;
  // (k, columns) in panels, of which the first `whole` rows of k are one matrix and the others
  // another; stored as products of that type take them.
  BackPanels(const Kernels<T>& kernels, Buffer<T> packed, Size whole, Size k, Size columns,
             Compute compute)
      : vectors_(quotient_up(columns, kernels.lanes)), lanes_(kernels.lanes) {
    if (compute == Compute::full) {
      full_ = std::move(packed);
      return;
    }
    const T* const rest = packed.data() + whole * vectors_ * lanes_;
    if (whole > 0)
      whole_ = Panels<T>::paired(kernels, packed.data(), {whole, panel_vectors, vectors_});
    if (k > whole) rest_ = Panels<T>::paired(kernels, rest, {k - whole, panel_vectors, vectors_});
  }

  // B of a product with the first matrix, or with the other one.
  void set_whole(Product<T>& product) const { set(product, whole_, 0); }
  void set_rest(Product<T>& product, Size whole) const { set(product, rest_, whole); }

 private:
  void set(Product<T>& product, const Panels<T>& panels, Size k) const {
    if (full_.size() == 0) return panels.set(product);
    product.b = full_.data() + k * vectors_ * lanes_;
    product.storage = Storage::full;
  }

  Size vectors_ = 0, lanes_ = 0;
  Buffer<T> full_;
  Panels<T> whole_, rest_;
};

}  // namespace pyrnn
