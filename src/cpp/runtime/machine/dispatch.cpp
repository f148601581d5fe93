#include "runtime/machine/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

#include "runtime/machine/found.hpp"

namespace pyrnn {
namespace {

struct Isa {
  const char* name;
  const KernelTable& (*table)();
  bool (*runs_here)();
};

bool always() { return true; }

#if defined(PYRNN_WITH_AVX2)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#if defined(PYRNN_WITH_AVX512)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}
#endif

// The best last.
constexpr Isa isas[] = {
#if defined(PYRNN_WITH_NEON)
    {"neon", kernel_table_neon, always},
#else
    {"baseline", kernel_table_baseline, always},
#endif
#if defined(PYRNN_WITH_AVX2)
    {"avx2", kernel_table_avx2, has_avx2},
#endif
#if defined(PYRNN_WITH_AVX512)
    {"avx512", kernel_table_avx512, has_avx512},
#endif
};

std::string names() {
  std::string text;
  for (const Isa& isa : isas) text += (text.empty() ? "" : ", ") + std::string(isa.name);
  return text;
}

const KernelTable& choose() {
  const char* wanted = std::getenv("PYRNN_ISA");
  const Isa* best = nullptr;
  for (const Isa& isa : isas) {
    if (wanted != nullptr && *wanted != '\0') {
      if (std::string(wanted) != isa.name) continue;
      if (!isa.runs_here())
        throw std::runtime_error("PYRNN_ISA: this processor does not run '" + std::string(wanted) +
                                 "'");
      return isa.table();
    }
    if (isa.runs_here()) best = &isa;
  }
  if (best == nullptr)
    throw std::runtime_error("PYRNN_ISA: expected one of " + names() + ", got '" +
                             std::string(wanted == nullptr ? "" : wanted) + "'");
  return best->table();
}

Found<const KernelTable> chosen;

}  // namespace

std::vector<std::string> built_isas() {
  std::vector<std::string> list;
  for (const Isa& isa : isas) list.emplace_back(isa.name);
  return list;
}

const KernelTable& active_table() {
  return *chosen.get([] { return &choose(); });
}

}  // namespace pyrnn
