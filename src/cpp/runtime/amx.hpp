// Whether this process uses AMX, the processor's tiles of bfloat16.
#pragma once

namespace pyrnn {

// The variable PYRNN_AMX: 0 is never, 1 wherever a processor has it. By default those with AVX10
// use it: on those before, tiles of real numbers lower the clock so far that training takes longer.
bool use_amx();

}  // namespace pyrnn
