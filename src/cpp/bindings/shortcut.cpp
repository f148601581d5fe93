// Methods written in Python whose usual calls do not enter Python: entering takes as long as a step
// of a small layer (docs/tuning/overhead.md).
#include <Python.h>
#include <pybind11/pybind11.h>
#include <structmember.h>

#include <cstddef>

#include "bindings/bindings.hpp"

namespace pyrnn {

namespace py = pybind11;

namespace {

// Stands for a method in a class. An object of the class has, under the name `attribute`, a pair
// (choice, function); where `choice` is what the context variable `choices` holds, a call with one
// or two arguments first calls the function with both, the second being None by default, and the
// method only if it returns None.
struct Shortcut {
  PyObject ob_base;
  vectorcallfunc vectorcall;
  PyObject* method;
  PyObject* attribute;
  PyObject* choices;
  PyObject* others;  // a dictionary: name, docstring and what else functools.update_wrapper sets
};

Shortcut* shortcut_of(PyObject* self) { return reinterpret_cast<Shortcut*>(self); }

// The second argument may be named.
bool is_usual(Py_ssize_t given, PyObject* keywords) {
  if (keywords == nullptr) return given == 1 || given == 2;
  return given == 1 && PyTuple_GET_SIZE(keywords) == 1 &&
         PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), "state") == 0;
}

// What the function returns, None where there is none, or an error.
py::object attempt(const Shortcut& shortcut, PyObject* object, PyObject* x, PyObject* state) {
  const auto ready =
      py::reinterpret_steal<py::object>(PyObject_GetAttr(object, shortcut.attribute));
  if (!ready) {  // of an object of another class, which the method may refuse
    PyErr_Clear();
    return py::none();
  }
  if (!PyTuple_CheckExact(ready.ptr()) || PyTuple_GET_SIZE(ready.ptr()) != 2) return py::none();
  PyObject* chosen = nullptr;
  if (PyContextVar_Get(shortcut.choices, nullptr, &chosen) < 0) return {};
  const auto choice = py::reinterpret_steal<py::object>(chosen);
  if (chosen != PyTuple_GET_ITEM(ready.ptr(), 0)) return py::none();
  PyObject* const arguments[] = {x, state};
  return py::reinterpret_steal<py::object>(
      PyObject_Vectorcall(PyTuple_GET_ITEM(ready.ptr(), 1), arguments, 2, nullptr));
}

PyObject* call(PyObject* self, PyObject* const* arguments, std::size_t flags, PyObject* keywords) {
  const Shortcut& shortcut = *shortcut_of(self);
  const Py_ssize_t given = PyVectorcall_NARGS(flags) - 1;
  if (is_usual(given, keywords)) {
    const bool with_state = given == 2 || keywords != nullptr;
    py::object result =
        attempt(shortcut, arguments[0], arguments[1], with_state ? arguments[2] : Py_None);
    if (!result || !result.is_none()) return result.release().ptr();
  }
  return PyObject_Vectorcall(shortcut.method, arguments, flags, keywords);
}

PyObject* make(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  static const char* names[] = {"method", "attribute", "choices", nullptr};
  PyObject *method, *attribute, *choices;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OUO", const_cast<char**>(names), &method,
                                   &attribute, &choices))
    return nullptr;
  if (!PyContextVar_CheckExact(choices))
    return PyErr_Format(PyExc_TypeError, "choices: expected a context variable");
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  Shortcut& shortcut = *shortcut_of(self);
  shortcut.vectorcall = &call;
  shortcut.method = Py_NewRef(method);
  shortcut.attribute = Py_NewRef(attribute);
  PyUnicode_InternInPlace(&shortcut.attribute);
  shortcut.choices = Py_NewRef(choices);
  return self;
}

PyObject* bound(PyObject* self, PyObject* object, PyObject*) {
  return object == nullptr ? Py_NewRef(self) : PyMethod_New(self, object);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  const Shortcut& shortcut = *shortcut_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(shortcut.method);
  Py_VISIT(shortcut.choices);
  Py_VISIT(shortcut.others);
  return 0;
}

int clear(PyObject* self) {
  Shortcut& shortcut = *shortcut_of(self);
  Py_CLEAR(shortcut.method);
  Py_CLEAR(shortcut.attribute);
  Py_CLEAR(shortcut.choices);
  Py_CLEAR(shortcut.others);
  return 0;
}

void end(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Shortcut, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Shortcut, others), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef properties[] = {
    {"__dict__", &PyObject_GenericGetDict, &PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

template <class Function>
void* slot(Function* function) {
  return reinterpret_cast<void*>(function);
}

PyType_Slot slots[] = {{Py_tp_new, slot(&make)},
                       {Py_tp_call, slot(&PyVectorcall_Call)},
                       {Py_tp_descr_get, slot(&bound)},
                       {Py_tp_traverse, slot(&traverse)},
                       {Py_tp_clear, slot(&clear)},
                       {Py_tp_dealloc, slot(&end)},
                       {Py_tp_members, members},
                       {Py_tp_getset, properties},
                       {0, nullptr}};

PyType_Spec description = {"pyrnn._core.Shortcut", sizeof(Shortcut), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                               Py_TPFLAGS_METHOD_DESCRIPTOR,
                           slots};

}  // namespace

void bind_shortcuts(py::module_& module) {
  const auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&description));
  if (!type) throw py::error_already_set();
  module.attr("Shortcut") = type;
}

}  // namespace pyrnn
