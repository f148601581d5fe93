// A layer called on a single time step, and a cell: a stream that takes its state from the call and
// gives it back, so that nothing is packed, planned or checked twice.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "bindings/python/direct.hpp"
#include "bindings/python/unlisted.hpp"
#include "bindings/recurrent/weights.hpp"
#include "runtime/walk/stream.hpp"
#include "tuning.hpp"

namespace pyrnn {
namespace {

// How a user's arrays lie; a cell's have no axis of time, its states none of layers, and it returns
// the state alone, of which h is the output.
enum class StepForm { time_first, batch_first, cell };

inline StepForm step_form_named(const std::string& name) {
  if (name == "time_first") return StepForm::time_first;
  if (name == "batch_first") return StepForm::batch_first;
  require(name == "cell", "form: unknown");
  return StepForm::cell;
}

py::object pair(const py::object& first, const py::object& second) {
  PyObject* const both = PyTuple_Pack(2, first.ptr(), second.ptr());
  if (both == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(both);
}

// Takes exact arguments; for all others it returns None, and the call goes the long way, which
// converts what can be taken and refuses the rest.
template <class T>
class OneStep {
 public:
  OneStep(const std::vector<Weights<T>*>& layers, const std::string& form,
          const std::vector<double>& zoneout)
      : layers_(packed_for_steps(layers)), form_(step_form_named(form)), zoneout_(zoneout) {
    require(zoneout.empty() || static_cast<int>(zoneout.size()) == states(), "zoneout: how many");
    require(form_ != StepForm::cell || layers_.size() == 1, "layers: expected one, of a cell");
  }

  py::object call(const py::object& x, const py::object& state) {
    const std::optional<Input> input = input_of(x);
    if (!input) return py::none();
    const T* from[max_states] = {};
    if (!state.is_none() && !find_states(state, *input, from)) return py::none();
    T* to[max_states];
    const py::object after = new_states(*input, to);
    const bool of_cell = form_ == StepForm::cell;
    const py::object y = of_cell ? py::object() : output(*input);
    T* const y_data = of_cell ? to[0] : numbers_of<T>(y);
    std::unique_ptr<Stream<T>> stream = taken(input->sequences);
    const auto advance = [&] {
      if (state.is_none()) {
        stream->zero_state();
      } else {
        for (int s = 0; s < states(); ++s) stream->write_state(s, from[s]);
      }
      stream->step(input->rows, y_data);
      for (int s = of_cell ? 1 : 0; s < states(); ++s) stream->read_state(s, to[s]);
    };
    if (stream->is_short()) {
      const FlushScope flush;
      advance();
    } else {
      const Computing computing;
      advance();
    }
    give_back(std::move(stream));
    return of_cell ? after : pair(y, after);
  }

 private:
  struct Input {
    InputRows<T> rows;
    Size sequences;
    bool batched;
  };

  const CellSizes<T>& sizes() const { return layers_.front()->sizes; }
  int states() const { return sizes().shape().states; }
  Size layers() const { return static_cast<Size>(layers_.size()); }

  // (1, N, I), or (N, 1, I) with the batch first, or (1, I); of a cell (N, I) or (I,). Indices
  // without the last axis, of which a cell takes (N,) alone.
  std::optional<Input> input_of(const py::object& x) const {
    if (!is_plain(x)) return std::nullopt;
    const py::detail::PyArray_Proxy& array = *py::detail::array_proxy(x.ptr());
    const bool dense = array.descr == dtype_.ptr();
    if (!dense && array.descr != index_dtype_.ptr()) return std::nullopt;
    const int axes = array.nd - (dense ? 1 : 0), time_axes = form_ == StepForm::cell ? 0 : 1;
    if (axes < time_axes || axes > time_axes + 1 || !is_dense(array.flags, false))
      return std::nullopt;
    const bool batched = axes > time_axes;
    if (!batched && !dense && time_axes == 0) return std::nullopt;
    const int time = batched && form_ == StepForm::batch_first ? 1 : 0;
    const Size sequences = batched ? array.dimensions[time_axes - time] : 1;
    if (sequences < 1 || sequences > tuning::most_one_step_sequences) return std::nullopt;
    if (time_axes == 1 && array.dimensions[time] != 1) return std::nullopt;
    Input input{{}, sequences, batched};
    const void* const data = array.data;
    if (dense) {
      if (array.dimensions[axes] != sizes().input_size) return std::nullopt;
      input.rows.dense = static_cast<const T*>(data);
      input.rows.row = sizes().input_size;
      return input;
    }
    input.rows.indices = static_cast<const std::int64_t*>(data);
    for (Size n = 0; n < sequences; ++n)
      if (input.rows.indices[n] < 0 || input.rows.indices[n] >= sizes().input_size)
        return std::nullopt;
    return input;
  }

  // (layers, N, size) each, or (layers, size): an array or, of several, a tuple
  bool find_states(const py::object& state, const Input& input, const T** from) const {
    if (states() == 1) return find_state(state, 0, input, from);
    if (!PyTuple_CheckExact(state.ptr()) || PyTuple_GET_SIZE(state.ptr()) != states()) return false;
    for (int s = 0; s < states(); ++s)
      if (!find_state(PyTuple_GET_ITEM(state.ptr(), s), s, input, from)) return false;
    return true;
  }

  bool find_state(py::handle given, int s, const Input& input, const T** from) const {
    const Size size = sizes().state_size(s), n = input.sequences;
    const bool of_cell = form_ == StepForm::cell;
    bool fits = false;
    if (of_cell)
      fits = input.batched ? is_exact(given, dtype_, {n, size}, false)
                           : is_exact(given, dtype_, {size}, false);
    else
      fits = input.batched ? is_exact(given, dtype_, {layers(), n, size}, false)
                           : is_exact(given, dtype_, {layers(), size}, false);
    if (fits) from[s] = numbers_of<const T>(given);
    return fits;
  }

  py::array_t<T> output(const Input& input) const {
    const Size size = layers_.back()->sizes.output_size;
    if (!input.batched) return empty<T>({1, size});
    return form_ == StepForm::batch_first ? empty<T>({input.sequences, 1, size})
                                          : empty<T>({1, input.sequences, size});
  }

  py::object new_states(const Input& input, T** to) const {
    py::object arrays[max_states];
    for (int s = 0; s < states(); ++s) {
      arrays[s] = new_state(input, sizes().state_size(s));
      to[s] = numbers_of<T>(arrays[s]);
    }
    return states() == 1 ? arrays[0] : pair(arrays[0], arrays[1]);
  }

  py::array_t<T> new_state(const Input& input, Size size) const {
    const Size n = input.sequences;
    if (form_ == StepForm::cell) return input.batched ? empty<T>({n, size}) : empty<T>({size});
    return input.batched ? empty<T>({layers(), n, size}) : empty<T>({layers(), size});
  }

  // Each call has a stream for itself while it computes: calls of several threads run at once, and
  // one that is ended early leaves none behind. Only whoever has the interpreter gets here.
  std::unique_ptr<Stream<T>> taken(Size sequences) {
    for (std::unique_ptr<Stream<T>>& idle : idle_) {
      if (idle->batch_size() != sequences) continue;
      std::unique_ptr<Stream<T>> found = std::move(idle);
      idle = std::move(idle_.back());
      idle_.pop_back();
      return found;
    }
    return std::make_unique<Stream<T>>(layers_, sequences, zoneout_);
  }

  void give_back(std::unique_ptr<Stream<T>> stream) {
    if (idle_.size() == std::size_t{tuning::most_idle_streams}) idle_.erase(idle_.begin());
    idle_.push_back(std::move(stream));
  }

  std::vector<std::shared_ptr<const CellWeights<T>>> layers_;
  StepForm form_;
  std::vector<double> zoneout_;
  std::vector<std::unique_ptr<Stream<T>>> idle_;
  py::dtype dtype_ = py::dtype::of<T>(), index_dtype_ = py::dtype::of<std::int64_t>();
};

template <class T>
void bind_all(py::module_& module, const char* name) {
  py::class_<OneStep<T>> type(module, name);
  type.def(
      py::init<const std::vector<Weights<T>*>&, const std::string&, const std::vector<double>&>(),
      py::arg("layers"), py::arg("form"), py::arg("zoneout"));
  Direct<OneStep<T>, &OneStep<T>::call>::bind(type, "call");
  leave_unlisted<OneStep<T>>();
}

}  // namespace

void bind_one_steps(py::module_& module) {
  bind_all<float>(module, "OneStepFloat32");
  bind_all<double>(module, "OneStepFloat64");
}

}  // namespace pyrnn
