#include "runtime/machine/tiles.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/machine/dispatch.hpp"
#include "runtime/machine/flush_scope.hpp"
#include "runtime/machine/found.hpp"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pyrnn {
namespace {

#if defined(__x86_64__) && defined(__linux__)
bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24;
  return (d & bf16) != 0 && (d & tile) != 0;
}

// Linux lets those processes use tiles that ask.
bool permitted() {
  constexpr long request = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}
#else
bool has_amx() { return false; }
bool permitted() { return false; }
#endif

// Numbers in runs of four kinds: usual ones; subnormal ones; least normal ones, whose products with
// usual ones are subnormal or little more; and those whose products with each other are. Beside
// greater numbers in a sum, none of these would be seen.
std::vector<float> drawn(std::size_t count, std::size_t run, std::uint32_t state) {
  constexpr std::uint32_t first[4] = {110, 0, 1, 60}, exponents[4] = {30, 1, 8, 6};
  std::vector<float> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    const std::size_t kind = i / run % 4;
    const std::uint32_t exponent = first[kind] + (state >> 8) % exponents[kind];
    const std::uint32_t bits = (state & 0x807fffffu) | (exponent << 23);
    std::memcpy(&numbers[i], &bits, sizeof(bits));
  }
  return numbers;
}

// Whether tiles give the bits of the core's own code.
bool agrees(const TileFunctions* tiles) {
  constexpr Size rows = 48, columns = 64, k = 96, count = rows * columns;
  const Kernels<float>& kernels = kernels_of<float>(active_table());
  const std::vector<float> a = drawn(rows * k, k, 1), b = drawn(columns * k, k, 2);
  std::vector<float> packed(columns * k), c[2];
  std::vector<std::uint16_t> pairs(columns * k), rounded(rows * k);
  kernels.pack_matrix(b.data(), k, k, columns, true, packed.data());
  kernels.pair_panels({packed.data(), k, panel_vectors, columns / kernels.lanes, pairs.data()});
  kernels.round_rows({a.data(), k, 0, rows, 1, k, rounded.data(), k});
  for (std::vector<float>& sums : c) {
    sums = drawn(count, 5, 3);
    Product<float> product{};
    product.b = pairs.data();
    product.storage = Storage::bfloat16_pairs;
    product.bfloat16 = {rounded.data(), k, &sums == c ? tiles : nullptr};
    product.width = panel_vectors;
    product.vectors = columns / kernels.lanes;
    product.init = product.c = sums.data();
    product.init_row = product.c_row = product.columns = columns;
    product.init_panel = product.c_panel = panel_vectors * kernels.lanes;
    product.rows = rows;
    product.k_outer = 1;
    product.k_inner = k;
    product.panel_end = quotient_up(product.vectors, panel_vectors);
    kernels.product(product);
  }
  return std::memcmp(c[0].data(), c[1].data(), count * sizeof(float)) == 0;
}

const TileFunctions* choose() {
  const char* const variable = std::getenv("PYRNN_AMX");
  const std::string wanted = variable == nullptr ? "" : variable;
  const Kernels<float>& kernels = kernels_of<float>(active_table());
  const FlushScope flush;
  if (wanted == "0") return nullptr;
  if (wanted == "emulated") return kernels.emulated_tiles;
  if (!wanted.empty() && wanted != "1")
    throw std::runtime_error("PYRNN_AMX: expected 0 or 1, got '" + wanted + "'");
  const bool usable = kernels.amx_tiles != nullptr && has_amx() && permitted();
  if (usable && agrees(kernels.amx_tiles)) return kernels.amx_tiles;
  if (wanted == "1")
    throw std::runtime_error("PYRNN_AMX: got 1, but " +
                             std::string(usable ? "AMX gives other bits here"
                                                : "this processor or its system has no AMX"));
  return nullptr;
}

Found<const TileFunctions> chosen;

}  // namespace

const TileFunctions* usable_tiles() { return chosen.get(&choose); }

const char* name_of_tiles() {
  const TileFunctions* const tiles = usable_tiles();
  if (tiles == nullptr) return "software";
  return tiles == kernels_of<float>(active_table()).emulated_tiles ? "emulated" : "amx";
}

}  // namespace pyrnn
