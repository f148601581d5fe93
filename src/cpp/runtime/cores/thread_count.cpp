#include "runtime/cores/thread_count.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "runtime/cores/cores.hpp"
#include "runtime/machine/control_groups.hpp"

namespace pyrnn {
namespace {

int from_variable(const std::string& text) {
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
  const int count = digits && text.size() <= 9 ? std::stoi(text) : 0;
  if (count < 1 || count > most_threads)
    throw std::invalid_argument("PYRNN_NUM_THREADS: expected a whole number from 1 to " +
                                std::to_string(most_threads) + ", got '" + text + "'");
  return count;
}

// Joblib, Dask, Ray and batch systems tell a worker in OpenMP's variable how many threads it may
// use. A list has one number for each level of nested teams. Anything else is no limit: the
// variable belongs to others.
int limit_of_openmp() {
  const char* const text = std::getenv("OMP_NUM_THREADS");
  const long count = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  return count > 0 && count <= most_threads ? static_cast<int>(count) : most_threads;
}

int default_threads() {
  const char* const text = std::getenv("PYRNN_NUM_THREADS");
  if (text != nullptr && *text != '\0') return from_variable(text);
  const int allowed = std::clamp(allowed_cores(), 1, limit_of_openmp());
  const int limit = processors_of_control_groups();
  return limit > 0 ? std::min(limit, allowed) : allowed;
}

std::atomic<int> wanted{0};

}  // namespace

int num_threads() {
  int count = wanted.load();
  if (count == 0) {
    count = default_threads();
    wanted.store(count);
  }
  return count;
}

void set_num_threads(int threads) { wanted.store(std::clamp(threads, 1, most_threads)); }

}  // namespace pyrnn
