#include "runtime/cores/cores.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "runtime/cores/placement.hpp"

namespace pyrnn {
namespace {

const std::string processors = "/sys/devices/system/cpu/";

// Whether no hyper-thread is in use, which saves looking at each processor.
bool none_are_siblings() {
  std::string active;
  return std::ifstream(processors + "smt/active") >> active && active == "0";
}

// Whether, of the processors of its core that are allowed, this is the one with the least number.
// The list is as in "0,64" or "0-3", in rising order.
bool is_first_of_its_core(int processor, const ProcessorSet& allowed) {
  std::ifstream file(processors + "cpu" + std::to_string(processor) +
                     "/topology/thread_siblings_list");
  std::string text;
  while (std::getline(file, text, ',')) {
    std::istringstream range(text);
    int first = 0, last = 0;
    char dash = 0;
    if (!(range >> first)) return true;
    if (!(range >> dash >> last)) last = first;
    for (int sibling = first; sibling <= last && sibling < processor; ++sibling)
      if (allowed.has(sibling)) return false;
  }
  return true;
}

}  // namespace

int allowed_cores() {
  ProcessorSet allowed;
  if (!allowed.read(0)) return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (none_are_siblings()) return allowed.count();
  int cores = 0;
  for (int processor = 0; processor < ProcessorSet::most; ++processor)
    if (allowed.has(processor) && is_first_of_its_core(processor, allowed)) ++cores;
  return cores;
}

}  // namespace pyrnn
