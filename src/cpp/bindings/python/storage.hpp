// How weights are stored, by the name that Python gives.
#pragma once

#include <stdexcept>
#include <string>

#include "kernel_table.hpp"
#include "runtime/machine/dispatch.hpp"

namespace pyrnn {

template <class T>
Storage storage_named(const std::string& name) {
  if (name == "full") return Storage::full;
  if (sizeof(T) == sizeof(float)) {
    if (name == "bfloat16") return Storage::bfloat16;
    if (name == "float16") return Storage::float16;
    const auto fastest = kernels_of<float>(active_table()).int8_storage;
    if (name == "int8") return fastest(false);
    if (name == "int8_bytes") return fastest(true);
    // Which every instruction set takes
    if (name == "int8_pairs") return Storage::int8_pairs;
    if (name == "int8_plain_bytes") return Storage::int8_bytes;
  }
  throw std::invalid_argument("storage: unknown '" + name + "'");
}

template <class T>
Compute compute_named(const std::string& name) {
  if (name == "full") return Compute::full;
  if (sizeof(T) == sizeof(float) && name == "bfloat16") return Compute::bfloat16;
  throw std::invalid_argument("compute: unknown '" + name + "'");
}

}  // namespace pyrnn
