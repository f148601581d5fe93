// Streams: the path of one step from Python to the kernels, kept short.
#include "runtime/walk/stream.hpp"

#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "bindings/python/direct.hpp"
#include "bindings/python/unlisted.hpp"
#include "bindings/recurrent/weights.hpp"
#include "runtime/threads/fork.hpp"

namespace pyrnn {
namespace {

// A step takes exact arguments as they are; others go through `check`, a Python function
// (x_t, out) -> (x_t, out) that converts what can be taken and refuses the rest.
template <class T>
class BoundStream {
 public:
  BoundStream(const std::vector<Weights<T>*>& layers, Size batch_size, py::object check,
              const std::vector<double>& zoneout)
      : stream_(packed_for_steps(layers), checked(batch_size), zoneout), check_(std::move(check)) {
    require(zoneout.empty() || static_cast<int>(zoneout.size()) == stream_.lowest().shape().states,
            "zoneout: how many");
  }

  py::object step(const py::object& x_t, const py::object& out) {
    if (exact_input(x_t) && (out.is_none() || exact(out, stream_.output_size(), true)))
      return run(x_t, out);
    const py::tuple checked = or_rest([&] { return py::tuple(check_(x_t, out)); });
    const py::object x = checked[0], y = checked[1];
    if (!exact(y, stream_.output_size(), true) && !y.is_none()) {
      // an `out` that is laid out in some other way
      const py::object result = run(x, py::none());
      or_rest([&] { return y.attr("__setitem__")(py::ellipsis(), result); });
      return y;
    }
    return run(x, y);
  }

  // Of all streams, or of these, in their order
  py::tuple state(const std::optional<IndexArray>& rows) {
    const ChosenStreams chosen = chosen_of(rows);
    const int states = stream_.lowest().shape().states;
    py::tuple arrays(static_cast<std::size_t>(states));
    std::vector<T*> to;
    for (int i = 0; i < states; ++i) {
      auto array = empty<T>({stream_.layers(), chosen.count, stream_.lowest().state_size(i)});
      to.push_back(array.mutable_data());
      arrays[static_cast<std::size_t>(i)] = array;
    }
    alone([&] {
      for (int i = 0; i < states; ++i)
        stream_.read_state(i, to[static_cast<std::size_t>(i)], chosen);
    });
    return arrays;
  }

  void set_state(const std::vector<Dense<T>>& state, const std::optional<IndexArray>& rows) {
    const ChosenStreams chosen = chosen_of(rows);
    require(static_cast<int>(state.size()) == stream_.lowest().shape().states, "state: how many");
    for (std::size_t i = 0; i < state.size(); ++i) {
      const Size size = stream_.lowest().state_size(static_cast<int>(i));
      require(state[i].size() == stream_.layers() * chosen.count * size, "state: shapes");
    }
    alone([&] {
      for (std::size_t i = 0; i < state.size(); ++i)
        stream_.write_state(static_cast<int>(i), state[i].data(), chosen);
    });
  }

 private:
  static Size checked(Size batch_size) {
    require(batch_size >= 1 && batch_size <= std::numeric_limits<std::int32_t>::max(),
            "batch_size: expected a number of streams");
    return batch_size;
  }

  ChosenStreams chosen_of(const std::optional<IndexArray>& rows) const {
    if (!rows) return stream_.all();
    const ChosenStreams chosen{rows->data(), static_cast<Size>(rows->size())};
    for (Size n = 0; n < chosen.count; ++n)
      require(chosen.indices[n] >= 0 && chosen.indices[n] < stream_.batch_size(), "rows: range");
    return chosen;
  }

  // A (batch, columns) array of T, dense, aligned.
  bool exact(const py::object& object, Size columns, bool writeable) const {
    return is_exact(object, dtype_, {stream_.batch_size(), columns}, writeable);
  }

  bool exact_input(const py::object& object) const {
    return exact(object, stream_.lowest().input_size, false);
  }

  py::object run(const py::object& x_t, const py::object& out) {
    InputRows<T> x;
    std::optional<IndexArray> indices;
    std::optional<Dense<T>> dense;
    if (exact_input(x_t)) {
      x.dense = numbers_of<const T>(x_t);
      x.row = stream_.lowest().input_size;
    } else if (py::isinstance<py::array_t<T>>(x_t)) {
      dense.emplace(dense_of<Dense<T>>(x_t));
      require(dense->size() == stream_.batch_size() * stream_.lowest().input_size, "x_t: shapes");
      x.dense = dense->data();
      x.row = stream_.lowest().input_size;
    } else {
      indices.emplace(dense_of<IndexArray>(x_t));
      require(*indices && indices->size() == stream_.batch_size(), "x_t: shapes");
      require(all_below(*indices, stream_.lowest().input_size), "x_t: expected indices of inputs");
      x.indices = indices->data();
    }
    py::object y = out;
    if (y.is_none()) y = empty<T>({stream_.batch_size(), stream_.output_size()});
    T* const to = numbers_of<T>(y);
    alone([&] { stream_.step(x, to); });
    return y;
  }

  // One thread at a time: the interpreter keeps others out as well.
  template <class Work>
  void alone(const Work& work) {
    if (stream_.is_short()) {
      const FlushScope flush;
      return work();
    }
    const Computing computing;
    const auto lock = mutex_.hold();
    work();
  }

  pyrnn::Stream<T> stream_;
  ForkSafeMutex mutex_;
  py::object check_;
  py::dtype dtype_ = py::dtype::of<T>();
};

template <class T>
void bind_all(py::module_& module, const char* name) {
  py::class_<BoundStream<T>> type(module, name);
  type.def(
          py::init<const std::vector<Weights<T>*>&, Size, py::object, const std::vector<double>&>(),
          py::arg("layers"), py::arg("batch_size"), py::arg("check"),
          py::arg("zoneout") = std::vector<double>())
      .def("state", &BoundStream<T>::state, py::arg("rows") = py::none())
      .def("set_state", &BoundStream<T>::set_state, py::arg("state"), py::arg("rows") = py::none());
  Direct<BoundStream<T>, &BoundStream<T>::step>::bind(type, "step");
  leave_unlisted<BoundStream<T>>();
}

}  // namespace

void bind_streams(py::module_& module) {
  bind_all<float>(module, "StreamFloat32");
  bind_all<double>(module, "StreamFloat64");
}

}  // namespace pyrnn
