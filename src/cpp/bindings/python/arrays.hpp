// NumPy arrays as the core sees them: a pointer, and how far apart rows are.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/memory/buffer.hpp"
#include "runtime/memory/memory.hpp"
#include "runtime/memory/memory_marks.hpp"
#include "tuning.hpp"

namespace pyrnn {

namespace py = pybind11;

template <class T>
using Dense = py::array_t<T, py::array::c_style | py::array::forcecast>;
using IndexArray = Dense<std::int64_t>;

// A copy of a large array, in pieces of its longest axis: signals are seen between two.
template <class D>
D copied_in_pieces(const py::array& array) {
  D copy(std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()));
  const py::ssize_t* const longest = std::max_element(array.shape(), array.shape() + array.ndim());
  const py::ssize_t most = std::max<py::ssize_t>(1, tuning::copy_piece / (array.size() / *longest));
  py::tuple index(longest - array.shape() + 1);
  for (std::size_t axis = 0; axis + 1 < index.size(); ++axis)
    index[axis] = py::slice(py::none(), py::none(), py::none());
  for (py::ssize_t begin = 0; begin < *longest; begin += most) {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    index[index.size() - 1] = py::slice(begin, std::min(begin + most, *longest), 1);
    copy[index] = array[index];
  }
  return copy;
}

// An array as one whose numbers follow each other: a copy if they do not, for which alone it can
// fail. What Python said of that is gone by then.
template <class D>
D dense_of(const py::array& array) {
  if (array.size() > tuning::copy_piece && !D::check_(array)) {
    try {
      return copied_in_pieces<D>(array);
    } catch (const py::error_already_set& error) {
      if (!error.matches(PyExc_MemoryError)) throw;
      throw OutOfMemory(sizeof(typename D::value_type) * static_cast<std::size_t>(array.size()));
    }
  }
  D dense = D::ensure(array);
  if (!dense)
    throw OutOfMemory(sizeof(typename D::value_type) * static_cast<std::size_t>(array.size()));
  return dense;
}

// None as yet: by default pybind11 makes an array, of no elements.
template <class T>
py::array_t<T> no_array() {
  return py::reinterpret_steal<py::array_t<T>>(py::handle());
}

// NumPy's one object for the dtype, which is there as long as NumPy is.
template <class T>
PyObject* dtype_of() {
  static PyObject* const found = py::dtype::of<T>().release().ptr();
  return found;
}

// Straight from NumPy, which finds strides and memory itself: lists of shape and strides cost a
// short stream step noticeable time (docs/tuning/overhead.md).
template <class T>
py::array_t<T> small_array(std::initializer_list<Size> shape) {
  const auto& numpy = py::detail::npy_api::get();
  PyObject* const dtype = dtype_of<T>();
  Py_INCREF(dtype);  // which the array takes over
  PyObject* const array =
      numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, dtype, static_cast<int>(shape.size()),
                                  shape.begin(), nullptr, nullptr, 0, nullptr);
  if (array == nullptr) throw py::error_already_set();
  auto owner = py::reinterpret_steal<py::array_t<T>>(array);
  mark_unwritten(const_cast<T*>(owner.data()), static_cast<std::size_t>(owner.nbytes()));
  return owner;
}

// How many numbers an array of that shape has, if so many have a place in memory; else it throws.
template <class T>
Size checked_size(std::initializer_list<Size> shape) {
  Size size = 1, bytes = 0;
  for (const Size n : shape)
    if (__builtin_mul_overflow(size, n, &size)) throw OutOfMemory(SIZE_MAX);
  if (__builtin_mul_overflow(size, static_cast<Size>(sizeof(T)), &bytes))
    throw OutOfMemory(SIZE_MAX);
  return size;
}

// An array of uninitialised numbers, in memory that later arrays use again.
template <class T>
py::array_t<T> empty(std::initializer_list<Size> shape) {
  const Size size = checked_size<T>(shape);
  if (size * static_cast<Size>(sizeof(T)) < tuning::least_own_array) return small_array<T>(shape);
  auto buffer = std::make_unique<Buffer<T>>(size);
  T* const data = buffer->data();
  const py::capsule owner(buffer.get(),
                          [](void* memory) { delete static_cast<Buffer<T>*>(memory); });
  buffer.release();
  return py::array_t<T>(py::array::ShapeContainer(shape), data, owner);
}

// An array whose last axis is dense and whose leading axes are equally spaced rows; others are
// copied into one. Keeps the array alive.
template <class T>
struct RowsView {
  py::array_t<T> array;
  const T* data;
  Size row;

  explicit RowsView(const py::array_t<T>& given) : array(given) {
    if (!has_rows(array)) array = dense_of<Dense<T>>(given);
    data = array.data();
    const py::ssize_t axes = array.ndim();
    row = array.shape(axes - 1);
    // the stride of an axis of one element says nothing
    for (py::ssize_t axis = axes - 2; axis >= 0; --axis) {
      if (array.shape(axis) > 1) {
        row = array.strides(axis) / static_cast<Size>(sizeof(T));
        break;
      }
    }
  }

 private:
  static bool has_rows(const py::array_t<T>& array) {
    const py::ssize_t axes = array.ndim();
    const auto item = static_cast<py::ssize_t>(sizeof(T));
    if (axes < 2 || (array.shape(axes - 1) > 1 && array.strides(axes - 1) != item)) return false;
    py::ssize_t expected = -1;
    for (py::ssize_t axis = axes - 2; axis >= 0; --axis) {
      if (array.shape(axis) == 1) continue;
      const py::ssize_t stride = array.strides(axis);
      if (expected < 0) {
        if (stride < array.shape(axes - 1) * item || stride % item != 0) return false;
      } else if (stride != expected) {
        return false;
      }
      expected = stride * array.shape(axis);
    }
    return true;
  }
};

// Of NumPy's own class: a subclass may have an arithmetic of its own, or a mask.
inline bool is_plain(py::handle object) {
  return Py_TYPE(object.ptr()) == py::detail::npy_api::get().PyArray_Type_;
}

// Whether an array's numbers are float64, or else float32, in the machine's byte order.
inline bool holds(const py::array& array, bool is_float64) {
  return is_float64 ? py::isinstance<py::array_t<double>>(array)
                    : py::isinstance<py::array_t<float>>(array);
}

// Whether kernels can take an array, of such flags, as it is.
inline bool is_dense(int flags, bool writeable) {
  using Numpy = py::detail::npy_api;
  const int wanted = Numpy::NPY_ARRAY_C_CONTIGUOUS_ | Numpy::NPY_ARRAY_ALIGNED_ |
                     (writeable ? Numpy::NPY_ARRAY_WRITEABLE_ : 0);
  return (flags & wanted) == wanted;
}

// Whether an object is a dense, aligned array of that dtype and shape. The dtype is compared by
// identity: NumPy has one object for each usual one.
inline bool is_exact(py::handle object, const py::dtype& dtype, std::initializer_list<Size> shape,
                     bool writeable) {
  if (!is_plain(object)) return false;
  const py::detail::PyArray_Proxy& array = *py::detail::array_proxy(object.ptr());
  return array.descr == dtype.ptr() && array.nd == static_cast<int>(shape.size()) &&
         std::equal(shape.begin(), shape.end(), array.dimensions) &&
         is_dense(array.flags, writeable);
}

// Where the numbers of an array begin.
template <class T>
T* numbers_of(py::handle array) {
  return static_cast<T*>(static_cast<void*>(py::detail::array_proxy(array.ptr())->data));
}

inline void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// Whether all are in [0, count): neither an index nor what is left of count - 1 beyond it has a
// sign. The compiler makes vectors of this, but not of comparisons.
inline bool all_below(const IndexArray& indices, Size count) {
  const auto last = static_cast<std::uint64_t>(count) - 1;
  const std::int64_t* const data = indices.data();
  const Size size = indices.size();
  std::uint64_t signs = 0;
  for (Size i = 0; i < size; ++i) {
    const auto index = static_cast<std::uint64_t>(data[i]);
    signs |= index | (last - index);
  }
  return static_cast<std::int64_t>(signs) >= 0;
}

}  // namespace pyrnn
