#include "runtime/threads/thread_count.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "runtime/threads/placement.hpp"

namespace pyrnn {
namespace {

// Processors' worth of time that the control group leaves this process; 0 for no limit.
int cgroup_count() {
  double quota = 0, period = 0;
  std::string word;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> word >> period) {
    if (word != "max") quota = std::atof(word.c_str());
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? static_cast<int>(std::ceil(quota / period)) : 0;
}

int from_variable(const std::string& text) {
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
  const int count = digits && text.size() <= 9 ? std::stoi(text) : 0;
  if (count < 1 || count > most_threads)
    throw std::invalid_argument("PYRNN_NUM_THREADS: expected a whole number from 1 to " +
                                std::to_string(most_threads) + ", got '" + text + "'");
  return count;
}

int default_threads() {
  const char* const text = std::getenv("PYRNN_NUM_THREADS");
  if (text != nullptr && *text != '\0') return from_variable(text);
  const int allowed = std::clamp(allowed_processors(), 1, most_threads), cgroup = cgroup_count();
  return cgroup > 0 && cgroup < allowed ? cgroup : allowed;
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
