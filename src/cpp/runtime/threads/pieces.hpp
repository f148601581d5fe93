// Long work cut into pieces, so that a call can be interrupted between them.
#pragma once

#include <algorithm>

#include "runtime/threads/interrupts.hpp"
#include "runtime/threads/range.hpp"
#include "tuning.hpp"

namespace pyrnn {

// Calls work(piece) for pieces of a range, one after another. Each of its items takes so many
// multiply-adds; `unit` is what pieces are multiples of.
template <class Work>
void in_pieces(Range range, Size products, Size unit, const Work& work,
               Size at_once = tuning::piece_products) {
  if (range.size() * products <= at_once) return work(range);
  const Size units = at_once / std::max<Size>(1, products) / unit;
  const Size most = std::max<Size>(1, units) * unit;
  for (Size begin = range.begin; begin < range.end; begin += most) {
    if (begin > range.begin) check_interrupts();
    work(Range{begin, std::min(begin + most, range.end)});
  }
}

// How many pieces some work is to be cut into.
inline int pieces_of(Size products, Size at_once = tuning::piece_products) {
  return static_cast<int>(std::min<Size>(tuning::most_pieces, 1 + products / at_once));
}

}  // namespace pyrnn
