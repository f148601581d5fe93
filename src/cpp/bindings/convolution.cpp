// Convolutions along time, chains of them, and normalisation over time.
#include "runtime/dense/convolution.hpp"

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "bindings/python/frames.hpp"
#include "bindings/python/unlisted.hpp"
#include "runtime/dense/chain.hpp"
#include "runtime/dense/channels.hpp"
#include "runtime/dense/instance_norm.hpp"
#include "runtime/machine/dispatch.hpp"

namespace pyrnn {
namespace {

template <class T>
void check_channels(const py::array_t<T>& x, const Layout& layout, Size channels) {
  if (x.ndim() != 3 || x.shape(layout.channels) != channels)
    throw std::invalid_argument("expected x of " + std::to_string(channels) +
                                " channels, got shape " + shape_of(x));
}

template <class T>
class PackedConvolution {
 public:
  // (out, channels / groups, kernel), (out,) or None
  PackedConvolution(const Dense<T>& weight, const std::optional<Dense<T>>& bias, Size stride,
                    Size dilation, Size groups, const std::string& layout, bool relu)
      : layout_(Layout::named(layout)),
        convolution_(std::make_shared<Convolution<T>>(
            kernels_of<T>(active_table()), checked(weight, bias, stride, dilation, groups).data(),
            bias ? bias->data() : nullptr, weight.shape(1) * groups, weight.shape(0),
            weight.shape(2), stride, dilation, groups, relu)) {}

  const std::shared_ptr<const Convolution<T>>& shared() const { return convolution_; }
  const Layout& layout() const { return layout_; }

  // Of three axes, in the layout's order, as y is. Of channels-first, y is a view of an array with
  // the channels last.
  py::array_t<T> operator()(const py::array_t<T>& given, Size before, Size after) const {
    const Convolution<T>& convolution = *convolution_;
    check_channels(given, layout_, convolution.channels);
    require(before >= 0 && after >= 0, "expected no less than no padding");
    const py::array_t<T> x = readable(given);
    const Size steps = x.shape(layout_.time), rows = x.shape(layout_.rows);
    Size reached = steps;
    if (__builtin_add_overflow(before, reached, &reached) ||
        __builtin_add_overflow(after, reached, &reached))
      throw OutOfMemory(SIZE_MAX);
    checked_size<T>({reached, rows, convolution.channels});
    const Size count = convolution.outputs(reached);
    if (count == 0)
      throw std::invalid_argument("expected at least one window of " +
                                  std::to_string(convolution.kernel) + " steps, got shape " +
                                  shape_of(given));
    const NewFrames<T> y(count, rows, convolution.out, layout_);
    {
      const Computing computing;
      convolve(kernels_of<T>(active_table()), convolution, frames_of(x, layout_), before, after,
               y.frames);
    }
    return y.ordered(convolution.out);
  }

 private:
  static const Dense<T>& checked(const Dense<T>& weight, const std::optional<Dense<T>>& bias,
                                 Size stride, Size dilation, Size groups) {
    require(weight.ndim() == 3 && weight.size() > 0, "convolution: shapes");
    require(!bias || (bias->ndim() == 1 && bias->shape(0) == weight.shape(0)),
            "convolution: shapes");
    require(stride > 0 && dilation > 0 && groups > 0 && weight.shape(0) % groups == 0,
            "convolution: options");
    Size reach = 0;
    require(!__builtin_mul_overflow(weight.shape(2) - 1, dilation, &reach),
            "dilation: expected a window of fewer steps");
    return weight;
  }

  Layout layout_;
  std::shared_ptr<const Convolution<T>> convolution_;
};

// Convolutions of one layout one behind the other.
template <class T>
class BoundChain {
 public:
  using Zeros = std::pair<Size, Size>;                  // before and after
  using Channels = std::optional<std::array<Size, 4>>;  // of a magnitude: see Magnitude
  using Given = std::tuple<PackedConvolution<T>*, Zeros, Channels>;

  explicit BoundChain(const std::vector<Given>& links) : layout_(layout_of(links)) {
    for (const auto& [packed, zeros, channels] : links) {
      require(packed != nullptr, "chain: links");
      Link<T> link{packed->shared(), zeros.first, zeros.second, std::nullopt};
      if (channels) {
        const auto [count, real, imaginary, skipped] = *channels;
        link.magnitude = Magnitude{count, real, imaginary, skipped};
      }
      check(link);
      chain_.links.push_back(std::move(link));
    }
  }

  // As a convolution's; fewer steps than one window of any of them are refused.
  py::array_t<T> operator()(const py::array_t<T>& given) const {
    check_channels(given, layout_, chain_.links.front().convolution->channels);
    const py::array_t<T> x = readable(given);
    const Size count = chain_.outputs(x.shape(layout_.time));
    if (count == 0)
      throw std::invalid_argument("expected at least one window, got shape " + shape_of(given));
    const Size channels = chain_.links.back().channels();
    const NewFrames<T> y(count, x.shape(layout_.rows), channels, layout_);
    {
      const Computing computing;
      convolve(kernels_of<T>(active_table()), chain_, frames_of(x, layout_), y.frames);
    }
    return y.ordered(channels);
  }

 private:
  static const Layout& layout_of(const std::vector<Given>& links) {
    require(!links.empty() && std::get<0>(links.front()) != nullptr, "chain: links");
    return std::get<0>(links.front())->layout();
  }

  void check(const Link<T>& link) const {
    const Size most = Size{1} << 32;  // no sum of steps overflows
    require(link.before >= 0 && link.before < most && link.after >= 0 && link.after < most,
            "chain: zeros");
    const Size in = link.convolution->channels, out = link.convolution->out;
    require(chain_.links.empty() || chain_.links.back().channels() == in, "chain: channels");
    if (!link.magnitude) return;
    const Magnitude& m = *link.magnitude;
    require(m.channels > 0 && m.channels <= out && m.real >= 0 && m.real <= out - m.channels &&
                m.imaginary >= 0 && m.imaginary <= out - m.channels && m.skipped >= 0,
            "chain: magnitude");
  }

  Layout layout_;
  Chain<T> chain_;
};

// y as x lies, and the means and variances, (rows, channels) of float64
template <class T>
py::tuple instance_norm_of(const py::array_t<T>& given, const std::optional<Dense<T>>& weight,
                           const std::optional<Dense<T>>& bias, double eps,
                           const std::string& layout_name) {
  const Layout layout = Layout::named(layout_name);
  require(given.ndim() == 3, "expected x of three axes");
  const Size channels = given.shape(layout.channels);
  for (const auto& parameter : {weight, bias})
    require(!parameter || (parameter->ndim() == 1 && parameter->shape(0) == channels),
            "expected as many factors as channels");
  const py::array_t<T> x = readable(given);
  const Frames<const T> frames = frames_of(x, layout);
  const NewFrames<T> y(frames.steps, frames.rows, channels, layout);
  auto mean = empty<double>({frames.rows, channels});
  auto variance = empty<double>({frames.rows, channels});
  double *const means = mean.mutable_data(), *const variances = variance.mutable_data();
  const T* const factors = weight ? weight->data() : nullptr;
  const T* const shifts = bias ? bias->data() : nullptr;
  {
    const Computing computing;
    instance_norm(kernels_of<T>(active_table()), frames, channels, factors, shifts, eps, y.frames,
                  means, variances);
  }
  return py::make_tuple(y.ordered(channels), mean, variance);
}

// (M, channels), and three times (channels,) -> (M, channels)
template <class T>
py::array_t<T> scale_channels_of(const Dense<T>& x, const Dense<T>& mean, const Dense<T>& factor,
                                 const Dense<T>& shift) {
  require(x.ndim() == 2 && x.shape(1) > 0, "expected rows of channels");
  const Size rows = x.shape(0), channels = x.shape(1);
  for (const auto* each : {&mean, &factor, &shift})
    require(each->ndim() == 1 && each->shape(0) == channels,
            "expected as many factors as channels");
  auto y = empty<T>({rows, channels});
  T* const out = y.mutable_data();
  {
    const Computing computing;
    scale_channels(x.data(), rows, channels, mean.data(), factor.data(), shift.data(), out);
  }
  return y;
}

template <class T>
void bind(py::module_& module, const char* name, const char* chain) {
  py::class_<PackedConvolution<T>>(module, name)
      .def(py::init<const Dense<T>&, const std::optional<Dense<T>>&, Size, Size, Size,
                    const std::string&, bool>(),
           py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("stride"),
           py::arg("dilation"), py::arg("groups"), py::arg("layout"), py::arg("relu"))
      .def("__call__", &PackedConvolution<T>::operator(), py::arg("x").noconvert(),
           py::arg("before"), py::arg("after"));
  leave_unlisted<PackedConvolution<T>>();
  py::class_<BoundChain<T>>(module, chain)
      .def(py::init<const std::vector<typename BoundChain<T>::Given>&>(), py::arg("links"))
      .def("__call__", &BoundChain<T>::operator(), py::arg("x").noconvert());
  leave_unlisted<BoundChain<T>>();
  module.def("instance_norm", &instance_norm_of<T>, py::arg("x").noconvert(),
             py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("eps"),
             py::arg("layout"));
  module.def("scale_channels", &scale_channels_of<T>, py::arg("x").noconvert(),
             py::arg("mean").noconvert(), py::arg("factor").noconvert(),
             py::arg("shift").noconvert());
}

}  // namespace

void bind_convolution(py::module_& module) {
  bind<float>(module, "ConvolutionFloat32", "ChainFloat32");
  bind<double>(module, "ConvolutionFloat64", "ChainFloat64");
}

}  // namespace pyrnn
