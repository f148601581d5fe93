#include "runtime/machine/control_groups.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace pyrnn {
namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();

double limit_of(double quota, double period) {
  return quota > 0 && period > 0 ? quota / period : unlimited;
}

// Version 2: "quota period" or "max period". Version 1: a file each, a quota of -1 for no limit.
double limit_in(const std::string& folder, bool version_2) {
  double quota = 0, period = 0;
  if (version_2) {
    std::string word;
    std::ifstream(folder + "/cpu.max") >> word >> period;
    quota = std::atof(word.c_str());
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return limit_of(quota, period);
}

// Of a group and of those around it, up to the one that is mounted. In a container the path may be
// that of the host, which is not there: the container's own group is the one that is mounted.
double limit_around(const std::string& mounted, std::string path, bool version_2) {
  double least = limit_in(mounted, version_2);
  for (std::size_t end = path.size(); end > 0 && end != std::string::npos; end = path.rfind('/')) {
    path.erase(end);
    least = std::min(least, limit_in(mounted + path, version_2));
  }
  return least;
}

bool names_cpu(const std::string& controllers) {
  std::istringstream list(controllers);
  std::string name;
  while (std::getline(list, name, ','))
    if (name == "cpu") return true;
  return false;
}

}  // namespace

int processors_of_control_groups() {
  std::ifstream groups("/proc/self/cgroup");
  double least = unlimited;
  std::string line;
  while (std::getline(groups, line)) {  // number:controllers:path, without controllers in version 2
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, limit_around("/sys/fs/cgroup", path, true));
    } else if (names_cpu(controllers)) {
      // Usually one is a link to the other.
      for (const std::string& name : {std::string("cpu"), controllers})
        least = std::min(least, limit_around("/sys/fs/cgroup/" + name, path, false));
    }
  }
  return least < unlimited ? static_cast<int>(std::ceil(std::min(least, 1e6))) : 0;
}

}  // namespace pyrnn
