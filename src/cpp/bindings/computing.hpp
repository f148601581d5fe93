// Around everything that computes.
#pragma once

#include <pybind11/pybind11.h>

#include "runtime/flush_scope.hpp"

namespace pyrnn {

// Other Python threads run meanwhile, and subnormal numbers count as zero: on this thread as on the
// workers, or a sum would depend on who adds it.
struct Computing {
  pybind11::gil_scoped_release release;
  FlushScope flush;
};

}  // namespace pyrnn
