#include "runtime/optimizers/operands.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "numerics.hpp"
#include "runtime/threads/interrupts.hpp"
#include "tuning.hpp"

namespace pyrnn {

bool share_memory(const std::vector<Operands>& all) {
  struct Memory {
    const char* begin;
    const char* end;
  };
  std::vector<Memory> blocks;
  for (const Operands& operands : all) {
    const Size bytes = operands.size * (operands.is_float64 ? 8 : 4);
    for (const void* array : operands.arrays) {
      const char* const begin = static_cast<const char*>(array);
      if (array != nullptr) blocks.push_back({begin, begin + bytes});
    }
  }
  std::sort(blocks.begin(), blocks.end(),
            [](const Memory& a, const Memory& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < blocks.size(); ++i)
    if (blocks[i].begin < blocks[i - 1].end) return true;
  return false;
}

namespace {

double sum_of_squares(const std::vector<Operands>& all) {
  constexpr Size most = numerics::squares_of_block;
  struct Block {
    const Operands* operands;
    Size first;
  };
  std::vector<Block> blocks;
  for (const Operands& operands : all)
    for (Size first = 0; first < operands.size; first += most) blocks.push_back({&operands, first});
  std::vector<double> sums(blocks.size());
  parallel_for(static_cast<Size>(blocks.size()), tuning::optimizer_grain / most + 1, 1,
               [&](Range mine) {
                 Pace pace;
                 for (Size i = mine.begin; i < mine.end; ++i) {
                   pace.tick();
                   const auto& [operands, first] = blocks[static_cast<std::size_t>(i)];
                   double& sum = sums[static_cast<std::size_t>(i)];
                   with_numbers(*operands, first, std::min(most, operands->size - first),
                                [&](const auto& kernels, const auto& p, Size count) {
                                  sum = kernels.sum_of_squares(p[0], count);
                                });
                 }
               });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// visit(value) for each number of the first arrays.
template <class Visit>
void each_number(const std::vector<Operands>& all, const Visit& visit) {
  for (const Operands& operands : all) {
    with_numbers(operands, 0, operands.size, [&](const auto&, const auto& p, Size count) {
      for (Size i = 0; i < count; ++i) visit(static_cast<double>(p[0][i]));
    });
  }
}

// The same with numbers scaled by a power of two, so that no square overflows or is lost.
double scaled_norm(const std::vector<Operands>& all) {
  double largest = 0;
  each_number(all, [&](double value) { largest = std::max(largest, std::abs(value)); });
  if (largest == 0 || std::isinf(largest)) return largest;
  const int exponent = std::ilogb(largest);
  double sum = 0;
  each_number(all, [&](double value) {
    const double scaled = std::scalbn(value, -exponent);
    sum += scaled * scaled;
  });
  return std::scalbn(std::sqrt(sum), exponent);
}

}  // namespace

double norm(const std::vector<Operands>& all) {
  // Squares that underflow here are less than 1e-16 of such a sum, even if there are 1e20 of them.
  constexpr double least = 1e-270;
  const double sum = sum_of_squares(all);
  const bool plain = sum >= least && sum <= std::numeric_limits<double>::max();
  return plain || std::isnan(sum) ? std::sqrt(sum) : scaled_norm(all);
}

}  // namespace pyrnn
