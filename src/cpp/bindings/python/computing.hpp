// Around everything that computes.
#pragma once

#include "bindings/python/gil.hpp"
#include "runtime/machine/flush_scope.hpp"

namespace pyrnn {

// Other Python threads run meanwhile, and subnormal numbers count as zero: on this thread as on the
// workers, or a sum would depend on who adds it.
class Computing {
 public:
  explicit Computing(Signals signals = Signals::end_the_call) : release_(signals) {}

 private:
  WithoutGil release_;
  FlushScope flush_;
};

}  // namespace pyrnn
