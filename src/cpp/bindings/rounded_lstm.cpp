// The LSTM whose h is rounded to 8 bits at each step.
#include "runtime/dense/rounded_lstm.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "bindings/python/unlisted.hpp"
#include "runtime/machine/dispatch.hpp"

namespace pyrnn {
namespace {

class PackedRoundedLstm {
 public:
  // (4 hidden, hidden) and (4 hidden,)
  PackedRoundedLstm(const Dense<float>& weight, const Dense<float>& scale)
      : lstm_(kernels_of<float>(active_table()), checked(weight, scale).data(), scale.data(),
              weight.shape(1)) {}

  // (T, N, 4 hidden), (N, hidden) twice, (N,) or None -> y (T, N, hidden), h, c
  py::tuple operator()(const Dense<float>& z, const Dense<float>& first_h,
                       const Dense<float>& first_c,
                       const std::optional<IndexArray>& lengths) const {
    const Size hidden = lstm_.hidden();
    require(z.ndim() == 3 && z.shape(2) == 4 * hidden, "z: shape");
    const Size steps = z.shape(0), rows = z.shape(1);
    for (const Dense<float>* state : {&first_h, &first_c}) {
      require(state->ndim() == 2 && state->shape(0) == rows && state->shape(1) == hidden,
              "states: shape");
    }
    require(!lengths || (lengths->ndim() == 1 && lengths->shape(0) == rows), "lengths: shape");
    auto y = empty<float>({steps, rows, hidden});
    auto h = empty<float>({rows, hidden}), c = empty<float>({rows, hidden});
    std::copy(first_h.data(), first_h.data() + first_h.size(), h.mutable_data());
    std::copy(first_c.data(), first_c.data() + first_c.size(), c.mutable_data());
    float *const y_data = y.mutable_data(), *const h_data = h.mutable_data(),
                 *const c_data = c.mutable_data();
    const std::int64_t* const counts = lengths ? lengths->data() : nullptr;
    {
      const Computing computing;
      lstm_.run(kernels_of<float>(active_table()), z.data(), steps, rows, counts, h_data, c_data,
                y_data);
    }
    return py::make_tuple(y, h, c);
  }

 private:
  static const Dense<float>& checked(const Dense<float>& weight, const Dense<float>& scale) {
    require(weight.ndim() == 2 && weight.shape(0) == 4 * weight.shape(1) && weight.shape(1) > 0,
            "weight: shape");
    require(scale.ndim() == 1 && scale.shape(0) == weight.shape(0), "scale: shape");
    return weight;
  }

  RoundedLstm lstm_;
};

}  // namespace

void bind_rounded_lstm(py::module_& module) {
  py::class_<PackedRoundedLstm>(module, "RoundedLstm")
      .def(py::init<const Dense<float>&, const Dense<float>&>(), py::arg("weight").noconvert(),
           py::arg("scale").noconvert())
      .def("__call__", &PackedRoundedLstm::operator(), py::arg("z").noconvert(),
           py::arg("h").noconvert(), py::arg("c").noconvert(), py::arg("lengths") = py::none());
  leave_unlisted<PackedRoundedLstm>();
}

}  // namespace pyrnn
