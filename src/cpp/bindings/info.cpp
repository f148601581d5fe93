// What was built, what is in use, the number of threads, and the memory that is kept.
#include <pybind11/stl.h>

#include <chrono>
#include <numeric>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python/gil.hpp"
#include "bindings/recurrent/weights.hpp"
#include "numerics.hpp"
#include "runtime/machine/dispatch.hpp"
#include "runtime/machine/tiles.hpp"
#include "runtime/memory/memory.hpp"
#include "runtime/threads/pool.hpp"
#include "runtime/walk/plan.hpp"

namespace pyrnn {
namespace {

// float32 GFLOP/s of `threads` threads that do nothing but multiply-adds for some seconds.
double fma_peak(int threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  const WithoutGil release;
  Team team(threads);
  std::vector<double> rates(static_cast<std::size_t>(team.size()));
  team.run(team.size(), 1, [&](Size, int thread) {
    alignas(64) float sink[64];
    double operations = 0;
    const auto start = Clock::now();
    std::chrono::duration<double> elapsed{};
    do {
      operations += active_table().f32.fma_loop(100'000, sink);
      elapsed = Clock::now() - start;
      check_interrupts();
    } while (elapsed.count() < seconds);
    rates[static_cast<std::size_t>(thread)] = operations / elapsed.count() * 1e-9;
  });
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

// (gates, states, numbers of each parameter by its name): what tests hold the reference's list to.
pybind11::tuple cell_facts(const std::string& cell, Size input, Size hidden, Size output) {
  const auto index = static_cast<std::size_t>(cell_index(cell));
  const CellShape& shape = active_table().f32.cells[index].shape;
  pybind11::dict numbers;
  each_parameter(shape, [&](const char* name, int position) {
    numbers[name] = size_of_parameter(shape, position, input, hidden, output);
  });
  return pybind11::make_tuple(shape.gates, shape.states, numbers);
}

// (what is split, threads, cycles): the plan of one layer's forward pass in float32.
pybind11::tuple plan_of(const std::string& cell, Size input, Size hidden, Size batch, Size steps,
                        int threads) {
  const auto& table = active_table().f32;
  const CellSizes<float> sizes(table, static_cast<CellIndex>(cell_index(cell)), input, hidden,
                               hidden, false);
  const Plan plan = make_plan(sizes, batch, steps, threads);
  const char* const split = plan.split == Split::batch   ? "sequences"
                            : plan.split == Split::units ? "units"
                                                         : "nothing";
  return pybind11::make_tuple(split, plan.threads, plan.cycles);
}

}  // namespace

void bind_info(pybind11::module_& module) {
  module.def("isa", [] { return std::string(active_table().isa); });
  module.def("isas", &built_isas);
  module.def("numerics", [] { return numerics::version; });
  module.def("bfloat16_unit", [] { return std::string(name_of_tiles()); });
  module.def("cells", [] {
    std::vector<std::string> names;
    for (const auto& cell : active_table().f32.cells) names.emplace_back(cell.shape.name);
    return names;
  });
  module.def("cell_facts", &cell_facts, pybind11::arg("cell"), pybind11::arg("input_size"),
             pybind11::arg("hidden_size"), pybind11::arg("output_size"));
  module.def("plan", &plan_of, pybind11::arg("cell"), pybind11::arg("input_size"),
             pybind11::arg("hidden_size"), pybind11::arg("batch_size"), pybind11::arg("steps"),
             pybind11::arg("threads"));
  module.def("fma_peak", &fma_peak, pybind11::arg("threads"), pybind11::arg("seconds"));
  module.def("get_num_threads", &num_threads);
  module.def("set_num_threads", &set_num_threads);
  module.def("release_memory", &release_idle_memory, pybind11::call_guard<WithoutGil>());
}

}  // namespace pyrnn
