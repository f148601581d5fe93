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
  std::vector<Operands> blocks;
  for (const Operands& operands : all) {
    for (Size first = 0; first < operands.size; first += most) {
      Operands block = operands;
      block.arrays[0] = operands.is_float64 ? static_cast<void*>(operands.from<double>(first)[0])
                                            : static_cast<void*>(operands.from<float>(first)[0]);
      block.size = std::min(most, operands.size - first);
      blocks.push_back(block);
    }
  }
  std::vector<double> sums(blocks.size());
  constexpr Size grain = 5;  // blocks that pay for a thread
  parallel_for(static_cast<Size>(blocks.size()), grain, 1, [&](Range part) {
    for (Size i = part.begin; i < part.end; ++i) {
      const Operands& block = blocks[static_cast<std::size_t>(i)];
      sums[static_cast<std::size_t>(i)] =
          block.is_float64 ? kernels_of<double>(active_table())
                                 .sum_of_squares(block.from<double>(0)[0], block.size)
                           : kernels_of<float>(active_table())
                                 .sum_of_squares(block.from<float>(0)[0], block.size);
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace pyrnn
