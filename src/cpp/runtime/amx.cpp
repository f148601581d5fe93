#include "runtime/amx.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

#if defined(PYRNN_WITH_AMX) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pyrnn {
namespace {

struct Processor {
  bool amx = false, avx10 = false;
};

#if defined(PYRNN_WITH_AMX) && defined(__linux__)
Processor processor() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  Processor found;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24, avx10 = 1u << 19;
  found.amx = (d & bf16) != 0 && (d & tile) != 0;
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) found.avx10 = (d & avx10) != 0;
  return found;
}

// Linux lets those processes use tiles that ask.
bool permitted() {
  constexpr long request = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}
#else
Processor processor() { return {}; }
bool permitted() { return false; }
#endif

}  // namespace

bool use_amx() {
  const char* const variable = std::getenv("PYRNN_AMX");
  const std::string wanted = variable == nullptr ? "" : variable;
  if (!wanted.empty() && wanted != "0" && wanted != "1")
    throw std::runtime_error("PYRNN_AMX: expected 0 or 1, got '" + wanted + "'");
  if (wanted == "0") return false;
  const Processor found = processor();
  if (wanted.empty()) return found.amx && found.avx10 && permitted();
  if (!found.amx || !permitted())
    throw std::runtime_error(
        "PYRNN_AMX: got 1, but this processor, its system or this build does not offer AMX");
  return true;
}

}  // namespace pyrnn
