// How many threads calls may use.
#pragma once

namespace pyrnn {

constexpr int most_threads = 1024;

// At first the value of PYRNN_NUM_THREADS (std::invalid_argument if that is no whole number from 1
// to `most_threads`), or the cores that the program may use, but no more than OMP_NUM_THREADS says.
int num_threads();
void set_num_threads(int threads);

}  // namespace pyrnn
