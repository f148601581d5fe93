// Methods that Python calls without pybind11's dispatcher, which takes longer than a short step.
#pragma once

#include <pybind11/pybind11.h>

namespace pyrnn {

// A method of two objects, of which the second may be left out for None, as a property of its
// class: a function bound to the object, to be kept by whoever calls it often.
template <class C, py::object (C::*method)(const py::object&, const py::object&)>
class Direct {
 public:
  static void bind(py::class_<C>& type, const char* name) {
    definition.ml_name = name;
    type.def_property_readonly(name, [](const py::object& self) {
      PyObject* const bound = PyCFunction_New(&definition, self.ptr());
      if (bound == nullptr) throw py::error_already_set();
      return py::reinterpret_steal<py::object>(bound);
    });
  }

 private:
  static PyObject* call(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    try {
      if (count < 1 || count > 2) throw py::type_error("expected one or two arguments");
      auto* const instance =
          reinterpret_cast<py::detail::instance*>(self)->get_value_and_holder().value_ptr();
      const auto first = py::reinterpret_borrow<py::object>(given[0]);
      const auto second = py::reinterpret_borrow<py::object>(count == 2 ? given[1] : Py_None);
      return (static_cast<C*>(instance)->*method)(first, second).release().ptr();
    } catch (py::error_already_set& error) {
      error.restore();
#ifdef __GLIBCXX__
    } catch (const abi::__forced_unwind&) {
      throw;
#endif
    } catch (...) {
      py::detail::try_translate_exceptions();
    }
    return nullptr;
  }

  inline static PyMethodDef definition = {
      nullptr, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call)), METH_FASTCALL,
      nullptr};
};

}  // namespace pyrnn
