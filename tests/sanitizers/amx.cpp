// Loaded before all other libraries, on an x86-64 Linux with AVX-512: computes the core's AMX
// instructions, and tells the core that the processor has them.
//
// In memory, each of them becomes a breakpoint, and the handler of that signal decodes and computes
// what was there as the pseudocode of Intel's manual (Software Developer's Manual, volume 2) does.
// What the processor or Linux would refuse ends the process with a line that says what. CPUID asks
// the processor itself, so the core's become breakpoints as well. Everything else is the core as it
// is installed. The variable PYRNN_BREAKPOINTS has the offsets of the instructions in its file.
//
// Without breakpoints a processor without AMX would refuse the instructions itself, but that takes
// several times as long on virtual machines.
#include <cpuid.h>
#include <dlfcn.h>
#include <immintrin.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>

// gcc's own header warns about its undefined operands (gcc bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace {

enum Kind { configurations, releases, loads, stores, products, kinds };
// What the emulated processor does otherwise than AMX, for a test of what notices.
enum Flaw { none, keeps_operands, keeps_results, one_chain, adds_one_by_one, swaps, not_permitted };

struct Tile {
  std::uint8_t rows;
  std::uint16_t row_bytes;
  alignas(64) std::uint8_t data[16][64];
};

struct Processor {
  bool configured, was_configured;
  Tile tiles[8];
};

// Such memory is there when a thread begins, so a handler may use it.
__attribute__((tls_model("initial-exec"))) thread_local Processor processor;

std::atomic<bool> permitted{false};
std::atomic<int> flaw{none};
std::atomic<long> counts[kinds], threads{0}, configured_threads{0};

// An instruction that a breakpoint has taken the place of, and the byte that it began with.
struct Replaced {
  std::uint8_t* at;
  std::uint8_t first;
};
constexpr int most_replaced = 256;
Replaced replaced[most_replaced];
int replaced_count = 0;

constexpr std::uint8_t breakpoint = 0xcc, begin_of_cpuid = 0x0f, begin_of_amx = 0xc4;

void say(const char* text) {
  if (write(2, text, std::strlen(text)) < 0) _exit(1);
}

[[noreturn]] void fail(const char* what) {
  say("AMX: ");
  say(what);
  say("\n");
  std::abort();
}

void check(bool holds, const char* what) {
  if (!holds) fail(what);
}

// --- decoding -------------------------------------------------------------------------------

// An instruction with a prefix of three bytes, C4: those of AMX have no other.
struct Instruction {
  std::uint8_t opcode, prefix;  // prefix 0: none, 1: 66, 2: F3, 3: F2
  bool is_memory, has_index;
  int reg, rm, vvvv;
  std::uint64_t address, stride;  // without an index there is none
  int length;
};

std::uint64_t value_of(const ucontext_t& context, int number) {
  static constexpr int places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                     REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                     REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[places[number]]);
}

template <class Offset>
std::uint64_t signed_offset(const std::uint8_t*& next) {
  Offset offset;
  std::memcpy(&offset, next, sizeof(offset));
  next += sizeof(offset);
  return static_cast<std::uint64_t>(std::int64_t{offset});
}

// The memory that ModRM and what follows it address.
void decode_memory(const ucontext_t& context, const std::uint8_t* begin, const std::uint8_t* next,
                   int mod, int index_high, int base_high, Instruction& to) {
  bool of_next_instruction = false;
  if ((to.rm & 7) == 4) {
    const int sib = *next++, index = ((sib >> 3) & 7) | index_high, base = (sib & 7) | base_high;
    to.has_index = index != 4;
    to.stride = to.has_index ? value_of(context, index) << (sib >> 6) : 0;
    if ((sib & 7) == 5 && mod == 0) {
      to.address = signed_offset<std::int32_t>(next);
    } else {
      to.address = value_of(context, base);
    }
  } else if ((to.rm & 7) == 5 && mod == 0) {
    of_next_instruction = true;
    to.address = signed_offset<std::int32_t>(next);
  } else {
    to.address = value_of(context, to.rm);
  }
  if (mod == 1) to.address += signed_offset<std::int8_t>(next);
  if (mod == 2) to.address += signed_offset<std::int32_t>(next);
  if (of_next_instruction) to.address += reinterpret_cast<std::uint64_t>(next);
  to.length = static_cast<int>(next - begin);
}

Instruction decode(const ucontext_t& context, const std::uint8_t* begin) {
  check((begin[1] & 0x1f) == 2 && (begin[2] & 0x84) == 0, "expected map 0F38, W 0, 128 bits");
  const int reg_high = (begin[1] & 0x80) != 0 ? 0 : 8, index_high = (begin[1] & 0x40) != 0 ? 0 : 8;
  const int base_high = (begin[1] & 0x20) != 0 ? 0 : 8;
  const int modrm = begin[4];
  Instruction to{};
  to.opcode = begin[3];
  to.prefix = begin[2] & 3;
  to.vvvv = (~begin[2] >> 3) & 15;
  to.reg = ((modrm >> 3) & 7) | reg_high;
  to.rm = (modrm & 7) | base_high;
  to.is_memory = modrm >> 6 != 3;
  to.length = 5;
  if (to.is_memory) decode_memory(context, begin, begin + 5, modrm >> 6, index_high, base_high, to);
  return to;
}

// --- computing ------------------------------------------------------------------------------

void count(Kind kind) { counts[kind].fetch_add(1, std::memory_order_relaxed); }

void release() {
  configured_threads -= processor.configured;
  processor.configured = false;
  std::memset(processor.tiles, 0, sizeof(processor.tiles));
}

void configure(const std::uint8_t* shapes) {
  count(configurations);
  const auto is_zero = [&](int begin, int end) {
    for (int i = begin; i < end; ++i)
      if (shapes[i] != 0) return false;
    return true;
  };
  if (shapes[0] == 0) return release();
  check(shapes[0] == 1, "ldtilecfg: expected palette 0 or 1");
  check(shapes[1] < 16, "ldtilecfg: expected a start row below 16");
  check(is_zero(2, 16) && is_zero(32, 48) && is_zero(56, 64),
        "ldtilecfg: expected zeros in what is reserved");
  release();
  for (int i = 0; i < 8; ++i) {
    Tile& tile = processor.tiles[i];
    std::memcpy(&tile.row_bytes, shapes + 16 + 2 * i, 2);
    tile.rows = shapes[48 + i];
    check(tile.rows <= 16 && tile.row_bytes <= 64,
          "ldtilecfg: expected at most 16 rows of 64 bytes");
    check((tile.rows == 0) == (tile.row_bytes == 0), "ldtilecfg: expected both sizes or none");
  }
  // No tile of the core is loaded in parts.
  check(shapes[1] == 0, "ldtilecfg: expected start row 0");
  threads += !processor.was_configured;
  processor.configured = processor.was_configured = true;
  ++configured_threads;
}

Tile& tile_at(int number) {
  check(processor.configured, "expected tiles to be configured in this thread");
  check(number < 8, "expected a tile of 0 to 7");
  Tile& tile = processor.tiles[number];
  check(tile.rows > 0, "expected a tile that is configured");
  return tile;
}

void load(const Instruction& at) {
  count(loads);
  check(at.vvvv == 0 && at.is_memory && (at.rm & 7) == 4, "tileloadd: expected base and index");
  Tile& tile = tile_at(at.reg);
  std::memset(tile.data, 0, sizeof(tile.data));
  for (std::uint64_t row = 0; row < tile.rows; ++row)
    std::memcpy(tile.data[row], reinterpret_cast<void*>(at.address + row * at.stride),
                tile.row_bytes);
}

void store(const Instruction& at) {
  count(stores);
  check(at.vvvv == 0 && at.is_memory && (at.rm & 7) == 4, "tilestored: expected base and index");
  const Tile& tile = tile_at(at.reg);
  for (std::uint64_t row = 0; row < tile.rows; ++row)
    std::memcpy(reinterpret_cast<void*>(at.address + row * at.stride), tile.data[row],
                tile.row_bytes);
}

// The lower and the upper number of each pair, as float32. AMX takes subnormal numbers for zeros,
// gives zeros for them and rounds to nearest, whatever the thread's modes are.
__attribute__((target("avx512f,avx512dq"))) __m512 lower(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
__attribute__((target("avx512f,avx512dq"))) __m512 upper(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
}

__attribute__((target("avx512f,avx512dq"), noinline)) void multiply(Tile& sums, const Tile& a,
                                                                    const Tile& b) {
  const auto columns = static_cast<__mmask16>((1u << (sums.row_bytes / 4)) - 1);
  for (int row = 0; row < sums.rows; ++row) {
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    for (int k = 0; k < a.row_bytes / 4; ++k) {
      std::int32_t pair;
      std::memcpy(&pair, a.data[row] + 4 * k, sizeof(pair));
      const __m512i one = _mm512_set1_epi32(pair), other = _mm512_load_si512(b.data[k]);
      even = _mm512_fmadd_ps(lower(one), lower(other), even);
      __m512& second = flaw == one_chain ? even : odd;
      second = _mm512_fmadd_ps(upper(one), upper(other), second);
    }
    const __m512 before = _mm512_load_ps(sums.data[row]);
    const __m512 after = flaw == adds_one_by_one ? _mm512_add_ps(_mm512_add_ps(before, even), odd)
                                                 : _mm512_add_ps(before, _mm512_add_ps(even, odd));
    _mm512_store_ps(sums.data[row], _mm512_maskz_mov_ps(columns, after));
  }
  for (int row = sums.rows; row < 16; ++row) std::memset(sums.data[row], 0, 64);
}

void product(const Instruction& at) {
  count(products);
  const bool other = flaw == swaps;
  Tile &sums = tile_at(at.reg), &a = tile_at(other ? at.vvvv : at.rm);
  Tile& b = tile_at(other ? at.rm : at.vvvv);
  check(&sums != &a && &sums != &b && &a != &b, "tdpbf16ps: expected three tiles");
  check(sums.row_bytes % 4 == 0 && a.row_bytes % 4 == 0 && b.row_bytes % 4 == 0,
        "tdpbf16ps: expected rows of whole pairs");
  check(sums.rows == a.rows && sums.row_bytes == b.row_bytes && a.row_bytes / 4 == b.rows,
        "tdpbf16ps: expected sizes that go together");
  const unsigned mode = _mm_getcsr();
  constexpr unsigned masked = 0x1f80, operands = 0x40, results = 0x8000;
  _mm_setcsr(masked | (flaw == keeps_operands ? 0 : operands) |
             (flaw == keeps_results ? 0 : results));
  multiply(sums, a, b);
  _mm_setcsr(mode);
}

void compute(ucontext_t& context, const std::uint8_t* begin) {
  const Instruction at = decode(context, begin);
  check(permitted, "expected the process to ask for tiles first: ARCH_REQ_XCOMP_PERM");
  const auto is = [&](std::uint8_t opcode, int prefix) {
    return at.opcode == opcode && at.prefix == prefix;
  };
  if (is(0x49, 0) && at.is_memory && at.reg == 0 && at.vvvv == 0) {
    configure(reinterpret_cast<const std::uint8_t*>(at.address));
  } else if (is(0x49, 0) && !at.is_memory && at.reg == 0 && at.rm == 0 && at.vvvv == 0) {
    count(releases);
    release();
  } else if (is(0x4b, 3)) {
    load(at);
  } else if (is(0x4b, 2)) {
    store(at);
  } else if (is(0x5c, 2) && !at.is_memory) {
    product(at);
  } else {
    fail("an instruction that is new in the core: expected one that amx.cpp computes");
  }
  context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(begin) + at.length;
}

void compute_cpuid(ucontext_t& context) {
  auto& registers = context.uc_mcontext.gregs;
  const auto leaf = static_cast<unsigned>(registers[REG_RAX]);
  const auto part = static_cast<unsigned>(registers[REG_RCX]);
  unsigned a, b, c, d;
  __cpuid_count(leaf, part, a, b, c, d);
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24;
  if (leaf == 7 && part == 0) d |= bf16 | tile;
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 1;  // of two; a breakpoint has one
}

void handle(int, siginfo_t*, void* pointer) {
  const int error = errno;
  auto& context = *static_cast<ucontext_t*>(pointer);
  const auto* begin = reinterpret_cast<std::uint8_t*>(context.uc_mcontext.gregs[REG_RIP]) - 1;
  int number = 0;
  while (number < replaced_count && replaced[number].at != begin) ++number;
  check(number < replaced_count, "expected no breakpoints but those of PYRNN_BREAKPOINTS");
  if (replaced[number].first == begin_of_cpuid) {
    compute_cpuid(context);
  } else {
    compute(context, begin);
  }
  errno = error;
}

// --- what the process sees ------------------------------------------------------------------

template <class Function>
Function next_of(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}
using Dlopen = void* (*)(const char*, int);
using Syscall = long (*)(long, ...);

void set_breakpoint(std::uint8_t* at) {
  if (*at == breakpoint) return;  // the core is loaded again
  check(*at == begin_of_cpuid || *at == begin_of_amx, "expected PYRNN_BREAKPOINTS of this core");
  check(replaced_count < most_replaced, "expected fewer breakpoints");
  const auto size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* const page = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(at) / size * size);
  replaced[replaced_count++] = {at, *at};
  check(mprotect(page, size, PROT_READ | PROT_WRITE) == 0, "expected mprotect to succeed");
  *at = breakpoint;
  check(mprotect(page, size, PROT_READ | PROT_EXEC) == 0, "expected mprotect to succeed");
}

void set_breakpoints(std::uintptr_t base) {
  const char* text = std::getenv("PYRNN_BREAKPOINTS");
  check(text != nullptr, "expected PYRNN_BREAKPOINTS with offsets");
  for (char* end = nullptr; *text != '\0'; text = *end == ',' ? end + 1 : end) {
    set_breakpoint(reinterpret_cast<std::uint8_t*>(base + std::strtoul(text, &end, 16)));
    check(end != text, "expected PYRNN_BREAKPOINTS to be hexadecimal, with commas");
  }
}

// A child has one thread, which is in no product.
void forget_threads() {
  processor = {};
  threads = configured_threads = 0;
}

__attribute__((constructor)) void begin() {
  struct sigaction ours = {};
  ours.sa_sigaction = handle;
  ours.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGTRAP, &ours, nullptr);
  pthread_atfork(nullptr, nullptr, forget_threads);
}

}  // namespace

extern "C" {

// Instructions of a kind since the process began
long amx_count(int kind) { return counts[kind]; }
// Threads whose tiles were configured, and those whose tiles are now
long amx_threads() { return threads; }
long amx_configured_threads() { return configured_threads; }
// Computes the instruction there from now on, for a test of the instructions themselves
void amx_replace(void* at) { set_breakpoint(static_cast<std::uint8_t*>(at)); }
// Tiles computed wrongly, or not permitted, from now on
void amx_flaw(int chosen) { flaw = chosen; }

void* dlopen(const char* path, int flags) {
  void* const handle = next_of<Dlopen>("dlopen")(path, flags);
  if (handle != nullptr && path != nullptr && std::strstr(path, "/_core.") != nullptr)
    set_breakpoints(static_cast<link_map*>(handle)->l_addr);
  return handle;
}

long syscall(long number, ...) {
  long given[6];
  va_list list;
  va_start(list, number);
  for (long& one : given) one = va_arg(list, long);
  va_end(list);
  constexpr long request = 0x1023, tile_data = 18;
  if (number == SYS_arch_prctl && given[0] == request) {
    errno = given[1] == tile_data ? EOPNOTSUPP : EINVAL;
    if (errno == EINVAL || flaw == not_permitted) return -1;
    permitted = true;
    return 0;
  }
  static const auto next = next_of<Syscall>("syscall");
  return next(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

}  // extern "C"
