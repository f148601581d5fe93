// Which instructions multiply tiles of bfloat16 on this machine.
#pragma once

#include "kernel_table/tiles.hpp"

namespace pyrnn {

// What multiplies whole tiles, or null where the core's own code does; found out at the first call.
// The environment variable PYRNN_AMX decides: 0 for none, 1 for AMX or an error, "emulated" for
// tests.
const TileFunctions* usable_tiles();

// "amx", "emulated", or "software" for none.
const char* name_of_tiles();

}  // namespace pyrnn
