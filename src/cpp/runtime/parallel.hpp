// A range split over threads, where its work pays for waking them.
#pragma once

#include <algorithm>

#include "runtime/range.hpp"
#include "runtime/thread_pool.hpp"

namespace pyrnn {

// Calls work(range) for parts of [0, count) that are multiples of `unit`; at least `grain` elements
// a thread.
template <class Work>
void parallel_for(Size count, Size grain, Size unit, const Work& work) {
  const int wanted =
      static_cast<int>(std::min<Size>(num_threads(), std::max<Size>(1, count / grain)));
  Team team(wanted);
  const int threads = std::min(wanted, team.size());
  team.run(threads, 1, [&](Size, int index) {
    const Range part = part_of(count, threads, index, unit);
    if (part.size() > 0) work(part);
  });
}

}  // namespace pyrnn
