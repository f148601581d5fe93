// Convolutions along time.
#include "runtime/dense/convolution.hpp"

#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "bindings/python/unlisted.hpp"
#include "runtime/machine/dispatch.hpp"

namespace pyrnn {
namespace {

// Where the axes of time, sequences and channels are.
struct Layout {
  py::ssize_t time, rows, channels;

  static Layout of(const std::string& name) {
    if (name == "time_first") return {0, 1, 2};
    if (name == "batch_first") return {1, 0, 2};
    if (name == "channels_first") return {2, 0, 1};
    throw std::invalid_argument("layout: unknown");
  }
};

template <class T>
class PackedConvolution {
 public:
  // (out, channels / groups, kernel), (out,) or None
  PackedConvolution(const Dense<T>& weight, const std::optional<Dense<T>>& bias, Size stride,
                    Size dilation, Size groups, const std::string& layout, bool relu)
      : layout_(Layout::of(layout)),
        convolution_(kernels_of<T>(active_table()),
                     checked(weight, bias, stride, dilation, groups).data(),
                     bias ? bias->data() : nullptr, weight.shape(1) * groups, weight.shape(0),
                     weight.shape(2), stride, dilation, groups, relu) {}

  // Of three axes, in the layout's order, as y is. Of channels-first, y is a view of an array with
  // the channels last.
  py::array_t<T> operator()(const py::array_t<T>& given, Size before, Size after) const {
    if (given.ndim() != 3 || given.shape(layout_.channels) != convolution_.channels)
      throw std::invalid_argument("expected x of " + std::to_string(convolution_.channels) +
                                  " channels, got shape " + shape_of(given));
    require(before >= 0 && after >= 0, "expected no less than no padding");
    const py::array_t<T> x = spaced(given) ? given : py::array_t<T>(given.attr("copy")());
    const Size steps = x.shape(layout_.time), rows = x.shape(layout_.rows);
    Size reached = steps;
    if (__builtin_add_overflow(before, reached, &reached) ||
        __builtin_add_overflow(after, reached, &reached))
      throw OutOfMemory(SIZE_MAX);
    checked_size<T>({reached, rows, convolution_.channels});
    const Size count = convolution_.outputs(reached);
    if (count == 0)
      throw std::invalid_argument("expected at least one window of " +
                                  std::to_string(convolution_.kernel) + " steps, got shape " +
                                  shape_of(given));
    const Size out = convolution_.out;
    const bool time_first = layout_.time == 0;
    auto y = time_first ? empty<T>({count, rows, out}) : empty<T>({rows, count, out});
    const Frames<T> to{y.mutable_data(),
                       count,
                       rows,
                       time_first ? rows * out : out,
                       time_first ? out : count * out,
                       1};
    const Frames<const T> from{x.data(),
                               steps,
                               rows,
                               stride(x, layout_.time),
                               stride(x, layout_.rows),
                               stride(x, layout_.channels)};
    {
      const Computing computing;
      convolve(kernels_of<T>(active_table()), convolution_, from, before, after, to);
    }
    if (layout_.time != 2) return y;
    const auto item = static_cast<py::ssize_t>(sizeof(T));
    return py::array_t<T>({rows, out, count}, {count * out * item, item, out * item}, y.data(), y);
  }

 private:
  static const Dense<T>& checked(const Dense<T>& weight, const std::optional<Dense<T>>& bias,
                                 Size stride, Size dilation, Size groups) {
    require(weight.ndim() == 3 && weight.size() > 0, "convolution: shapes");
    require(!bias || (bias->ndim() == 1 && bias->shape(0) == weight.shape(0)),
            "convolution: shapes");
    require(stride > 0 && dilation > 0 && groups > 0 && weight.shape(0) % groups == 0,
            "convolution: options");
    return weight;
  }
  // Whether numbers can be read where they are.
  static bool spaced(const py::array_t<T>& x) {
    if ((x.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0) return false;
    for (py::ssize_t axis = 0; axis < 3; ++axis)
      if (x.strides(axis) % static_cast<py::ssize_t>(sizeof(T)) != 0) return false;
    return true;
  }
  static Size stride(const py::array_t<T>& x, py::ssize_t axis) {
    return x.strides(axis) / static_cast<py::ssize_t>(sizeof(T));
  }
  static std::string shape_of(const py::array& x) {
    return py::str(x.attr("shape")).template cast<std::string>();
  }

  Layout layout_;
  Convolution<T> convolution_;
};

template <class T>
void bind(py::module_& module, const char* name) {
  py::class_<PackedConvolution<T>>(module, name)
      .def(py::init<const Dense<T>&, const std::optional<Dense<T>>&, Size, Size, Size,
                    const std::string&, bool>(),
           py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("stride"),
           py::arg("dilation"), py::arg("groups"), py::arg("layout"), py::arg("relu"))
      .def("__call__", &PackedConvolution<T>::operator(), py::arg("x").noconvert(),
           py::arg("before"), py::arg("after"));
  leave_unlisted<PackedConvolution<T>>();
}

}  // namespace

void bind_convolution(py::module_& module) {
  bind<float>(module, "ConvolutionFloat32");
  bind<double>(module, "ConvolutionFloat64");
}

}  // namespace pyrnn
