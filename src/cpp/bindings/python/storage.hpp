// How weights are stored, by the name that Python gives.
#pragma once

#include <stdexcept>
#include <string>

#include "kernel_table.hpp"

namespace pyrnn {

template <class T>
Storage storage_named(const std::string& name) {
  if (name == "full") return Storage::full;
  if (sizeof(T) == sizeof(float)) {
    if (name == "bfloat16") return Storage::bfloat16;
    if (name == "float16") return Storage::float16;
  }
  throw std::invalid_argument("storage: unknown '" + name + "'");
}

}  // namespace pyrnn
