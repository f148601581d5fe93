// The Dot of this instruction set, for each layout of int8 weights.
//
// Each file gives besides: `int8_storage`, which layout is the fastest here; `has_fours` and
// `has_bytes_dot`, whether it is compiled; `dot_offset`, what int8_bytes_dot adds to each of x's
// numbers, as one factor of the instruction may have no sign.
#pragma once

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include "isa/int8/dot_avx512.hpp"
#elif defined(__AVX2__)
#include "isa/int8/dot_avx2.hpp"
#elif defined(__aarch64__)
#include "isa/int8/dot_neon.hpp"
#else
#include "isa/int8/dot_generic.hpp"
#endif
