// What was built, what is in use, and the number of threads.
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/thread_pool.hpp"

namespace pyrnn {
void bind_info(pybind11::module_& module) {
  module.def("isa", [] { return std::string(active_table().isa); });
  module.def("isas", &built_isas);
  module.def("cells", [] {
    std::vector<std::string> names;
    for (const auto& cell : active_table().f32.cells) names.emplace_back(cell.shape.name);
    return names;
  });
  module.def("get_num_threads", &num_threads);
  module.def("set_num_threads", &set_num_threads);
}

}  // namespace pyrnn
