// Linear, embedding, softmax cross-entropy.
#include "runtime/dense/dense.hpp"

#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "bindings/bindings.hpp"
#include "bindings/python/arrays.hpp"
#include "bindings/python/computing.hpp"
#include "bindings/python/storage.hpp"
#include "bindings/python/unlisted.hpp"
#include "runtime/machine/dispatch.hpp"

namespace pyrnn {
namespace {

template <class T>
using Given = std::optional<py::array_t<T>>;

// The array that was given for (rows, columns), or a new one.
template <class T>
py::array_t<T> given_or_new(const Given<T>& given, Size rows, Size columns) {
  if (!given) return empty<T>({rows, columns});
  require(given->ndim() == 2 && given->shape(0) == rows && given->shape(1) == columns &&
              is_dense(given->flags(), true),
          "out: expected a writeable contiguous array of the output's shape");
  return *given;
}

// Whether a bias, if there is one, has a number for each output.
template <class T>
bool fits(const std::optional<Dense<T>>& bias, const Dense<T>& weight) {
  return !bias || (bias->ndim() == 1 && bias->shape(0) == weight.shape(0));
}

// (M, in), (out, in), (out,) or None -> (M, out)
template <class T>
py::array_t<T> linear_of(const Dense<T>& x, const Dense<T>& weight,
                         const std::optional<Dense<T>>& bias, const Given<T>& given,
                         const std::string& compute) {
  const Compute type = compute_named<T>(compute);
  require(x.ndim() == 2 && weight.ndim() == 2 && x.shape(1) == weight.shape(1), "linear: shapes");
  require(fits(bias, weight), "bias: shape");
  auto y = given_or_new<T>(given, x.shape(0), weight.shape(0));
  T* const out = y.mutable_data();
  const T* const b = bias ? bias->data() : nullptr;
  const Computing computing;
  linear(kernels_of<T>(active_table()), x.data(), weight.data(), b, out, x.shape(0), x.shape(1),
         weight.shape(0), type);
  return y;
}

// A linear layer whose weights no longer change.
template <class T>
class PackedLinear {
 public:
  // (out, in), (out,) or None
  PackedLinear(const Dense<T>& weight, const std::optional<Dense<T>>& bias,
               const std::string& storage, const std::string& compute)
      : weights_(kernels_of<T>(active_table()), checked(weight, bias).data(),
                 bias ? bias->data() : nullptr, weight.shape(1), weight.shape(0),
                 storage_named<T>(storage), compute_named<T>(compute)) {}

  // (M, in) -> (M, out)
  py::array_t<T> operator()(const Dense<T>& x, const Given<T>& given) const {
    require(x.ndim() == 2 && x.shape(1) == weights_.in, "linear: shapes");
    auto y = given_or_new<T>(given, x.shape(0), weights_.out);
    T* const out = y.mutable_data();
    const Computing computing;
    linear(kernels_of<T>(active_table()), x.data(), weights_, out, x.shape(0));
    return y;
  }

 private:
  static const Dense<T>& checked(const Dense<T>& weight, const std::optional<Dense<T>>& bias) {
    require(weight.ndim() == 2, "linear: shapes");
    require(fits(bias, weight), "bias: shape");
    return weight;
  }

  LinearWeights<T> weights_;
};

template <class T>
py::tuple linear_backward_of(const Dense<T>& x, const Dense<T>& weight, const Dense<T>& dy,
                             const std::string& compute) {
  const Compute type = compute_named<T>(compute);
  require(x.ndim() == 2 && weight.ndim() == 2 && dy.ndim() == 2 && x.shape(0) == dy.shape(0) &&
              x.shape(1) == weight.shape(1) && dy.shape(1) == weight.shape(0),
          "linear_backward: shapes");
  auto dx = empty<T>({x.shape(0), x.shape(1)});
  auto dweight = empty<T>({weight.shape(0), weight.shape(1)});
  auto dbias = empty<T>({weight.shape(0)});
  T *const dx_data = dx.mutable_data(), *const dweight_data = dweight.mutable_data(),
           *const dbias_data = dbias.mutable_data();
  {
    const Computing computing;
    linear_backward(kernels_of<T>(active_table()), x.data(), weight.data(), dy.data(), dx_data,
                    dweight_data, dbias_data, x.shape(0), x.shape(1), weight.shape(0), type);
  }
  return py::make_tuple(dx, dweight, dbias);
}

// (M,), (V, D) -> (M, D)
template <class T>
py::array_t<T> embedding_of(const IndexArray& indices, const Dense<T>& weight) {
  require(indices.ndim() == 1, "indices: expected one axis");
  require(weight.ndim() == 2, "weight: expected two axes");
  require(all_below(indices, weight.shape(0)), "indices: expected rows of the weight");
  auto y = empty<T>({indices.shape(0), weight.shape(1)});
  T* const out = y.mutable_data();
  const Computing computing;
  embedding(indices.data(), weight.data(), out, indices.shape(0), weight.shape(1));
  return y;
}

// (M,), (M, D) -> (V, D)
template <class T>
py::array_t<T> embedding_backward_of(const IndexArray& indices, const Dense<T>& dy, Size rows) {
  require(indices.ndim() == 1 && dy.ndim() == 2 && indices.shape(0) == dy.shape(0),
          "indices, dy: shapes");
  require(rows >= 0, "rows: expected a number of rows");
  require(all_below(indices, rows), "indices: expected rows of the weight");
  auto dweight = empty<T>({rows, dy.shape(1)});
  T* const sums = dweight.mutable_data();
  const Computing computing;
  embedding_backward(kernels_of<T>(active_table()), indices.data(), dy.data(), sums,
                     indices.shape(0), rows, dy.shape(1));
  return dweight;
}

template <class T>
py::tuple softmax_cross_entropy_of(const Dense<T>& logits, const IndexArray& targets) {
  require(logits.ndim() == 2 && targets.ndim() == 1 && logits.shape(0) == targets.shape(0),
          "softmax_cross_entropy: shapes");
  require(all_below(targets, logits.shape(1)), "targets: expected classes of the logits");
  auto dlogits = empty<T>({logits.shape(0), logits.shape(1)});
  T* const gradient = dlogits.mutable_data();
  double loss = 0;
  {
    const Computing computing;
    loss = softmax_cross_entropy(kernels_of<T>(active_table()), logits.data(), targets.data(),
                                 gradient, logits.shape(0), logits.shape(1));
  }
  return py::make_tuple(loss, dlogits);
}

template <class T>
void bind_all(py::module_& module, const char* packed_linear) {
  py::class_<PackedLinear<T>>(module, packed_linear)
      .def(py::init<const Dense<T>&, const std::optional<Dense<T>>&, const std::string&,
                    const std::string&>(),
           py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("storage") = "full",
           py::arg("compute") = "full")
      .def("__call__", &PackedLinear<T>::operator(), py::arg("x").noconvert(),
           py::arg("out").noconvert() = py::none());
  leave_unlisted<PackedLinear<T>>();
  module.def("linear", &linear_of<T>, py::arg("x").noconvert(), py::arg("weight").noconvert(),
             py::arg("bias").noconvert(), py::arg("out").noconvert() = py::none(),
             py::arg("compute") = "full");
  module.def("linear_backward", &linear_backward_of<T>, py::arg("x").noconvert(),
             py::arg("weight").noconvert(), py::arg("dy").noconvert(), py::arg("compute") = "full");
  module.def("embedding", &embedding_of<T>, py::arg("indices"), py::arg("weight").noconvert());
  module.def("embedding_backward", &embedding_backward_of<T>, py::arg("indices"),
             py::arg("dy").noconvert(), py::arg("rows"));
  module.def("softmax_cross_entropy", &softmax_cross_entropy_of<T>, py::arg("logits").noconvert(),
             py::arg("targets"));
}

}  // namespace

void bind_dense(py::module_& module) {
  bind_all<float>(module, "LinearFloat32");
  bind_all<double>(module, "LinearFloat64");
}

}  // namespace pyrnn
