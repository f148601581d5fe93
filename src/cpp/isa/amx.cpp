// What AMX does better than AVX-512 alone: kernels that take the place of those in its table.
#include "isa/gemm/outer_amx.hpp"
#include "kernel_table.hpp"

namespace pyrnn {

KernelTable with_amx(KernelTable table) {
  table.f32.outer_product = outer_product_amx;
  table.f32.outer_scratch = outer_scratch_amx;
  table.amx = true;
  return table;
}

}  // namespace pyrnn
