// What optimisers go through element by element: every parameter with its gradient and moments.
// To threads, all parameters together are one long row of numbers, which is cut where it pays.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "runtime/machine/dispatch.hpp"
#include "runtime/threads/parallel.hpp"
#include "tuning.hpp"

namespace pyrnn {

constexpr int max_operands = 4;

// Arrays of one size and dtype.
struct Operands {
  std::array<void*, max_operands> arrays{};
  Size size = 0;
  bool is_float64 = false;

  // The arrays from element `first` on.
  template <class T>
  std::array<T*, max_operands> from(Size first) const {
    std::array<T*, max_operands> pointers{};
    for (std::size_t i = 0; i < pointers.size(); ++i)
      if (arrays[i] != nullptr) pointers[i] = static_cast<T*>(arrays[i]) + first;
    return pointers;
  }
};

// step(kernels, arrays, count) for `count` numbers of one operand: the arrays begin with them.
template <class Step>
void with_numbers(const Operands& operands, Size first, Size count, const Step& step) {
  if (operands.is_float64) {
    step(kernels_of<double>(active_table()), operands.from<double>(first), count);
  } else {
    step(kernels_of<float>(active_table()), operands.from<float>(first), count);
  }
}

// Whether any two arrays overlap: then operands must be gone through in their order, as one array
// may be the parameter of two names.
bool share_memory(const std::vector<Operands>& all);

// Calls `step` so for all operands, or for some numbers of one after another.
template <class Step>
void each_operand(const std::vector<Operands>& all, const Step& step) {
  constexpr Size unit = 64;  // no two threads write to one cache line
  Size total = 0;
  for (const Operands& operands : all) total += operands.size;
  const bool in_order = total >= 2 * tuning::optimizer_grain && share_memory(all);
  parallel_for(total, in_order ? total : tuning::optimizer_grain, unit, [&](Range mine) {
    Size before = 0;
    for (const Operands& operands : all) {
      const Size begin = std::max<Size>(mine.begin - before, 0);
      const Size end = std::min(mine.end - before, operands.size);
      before += operands.size;
      if (begin < end) with_numbers(operands, begin, end - begin, step);
    }
  });
}

// The Euclidean norm of the first arrays of all operands together, which is right wherever it is a
// normal number; the same for every number of threads.
double norm(const std::vector<Operands>& all);

}  // namespace pyrnn
