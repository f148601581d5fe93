// A range split over threads, where there is enough work for more than one.
#pragma once

#include <algorithm>

#include "runtime/threads/pool.hpp"
#include "runtime/threads/range.hpp"

namespace pyrnn {

// As many threads as get `grain` of the work each.
inline int threads_for(Size work, Size grain) {
  return static_cast<int>(std::clamp<Size>(work / grain, 1, num_threads()));
}

// Calls work(range) for ranges of [0, count) that are multiples of `unit`, each on a thread, of
// which there are `wanted` at most.
template <class Work>
void parallel_on(int wanted, Size count, Size unit, const Work& work) {
  Team team(wanted);
  const int threads = std::min(wanted, team.size());
  team.run(threads, 1, [&](Size, int part) {
    const Range mine = split(count, threads, part, unit);
    if (mine.size() > 0) work(mine);
  });
}

// The same on as many threads as get `grain` elements each.
template <class Work>
void parallel_for(Size count, Size grain, Size unit, const Work& work) {
  parallel_on(threads_for(count, grain), count, unit, work);
}

}  // namespace pyrnn
