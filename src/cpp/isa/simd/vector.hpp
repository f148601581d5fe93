// Chooses the vector type of the instruction set that this compilation is for.
#pragma once

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include "isa/simd/avx512.hpp"
#elif defined(__AVX2__) && defined(__FMA__)
#include "isa/simd/avx2.hpp"
#else
#include "isa/simd/generic.hpp"
#endif
