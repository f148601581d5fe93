// How many cores there are for this program, where processors may be hyper-threads of one core.
#pragma once

namespace pyrnn {

// The cores of the processors on which this thread may run. Hyper-threads of a core share its
// arithmetic, which one thread of matrix products fills, and its caches; so they count once. Where
// the system does not tell which are one core's, each processor counts.
int allowed_cores();

}  // namespace pyrnn
