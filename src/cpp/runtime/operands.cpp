#include "runtime/operands.hpp"

#include <numeric>

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

double sum_of_squares(const std::vector<Operands>& all) {
  constexpr Size most = 8192;  // elements of a block
  struct Block {
    const Operands* operands;
    Size first;
  };
  std::vector<Block> blocks;
  for (const Operands& operands : all)
    for (Size first = 0; first < operands.size; first += most) blocks.push_back({&operands, first});
  std::vector<double> sums(blocks.size());
  parallel_for(static_cast<Size>(blocks.size()), operand_grain / most + 1, 1, [&](Range part) {
    for (Size i = part.begin; i < part.end; ++i) {
      const auto& [operands, first] = blocks[static_cast<std::size_t>(i)];
      double& sum = sums[static_cast<std::size_t>(i)];
      with_numbers(*operands, first, std::min(most, operands->size - first),
                   [&](const auto& kernels, const auto& at, Size count) {
                     sum = kernels.sum_of_squares(at[0], count);
                   });
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace pyrnn
