// Which instruction sets were built, which of them this processor has, and which one is in use.
#pragma once

#include <string>
#include <vector>

#include "kernel_table.hpp"

namespace pyrnn {

// Those built in, the best last.
std::vector<std::string> built_isas();

// The table in use: the best that this processor runs, or the one PYRNN_ISA names.
// Throws std::runtime_error, naming the choices, if that one was not built or cannot run here.
const KernelTable& active_table();

}  // namespace pyrnn
