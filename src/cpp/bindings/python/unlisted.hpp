// Bound classes whose objects can be made without memory for pybind11's list of all of them.
#pragma once

#include <pybind11/pybind11.h>

#include <typeinfo>

namespace pyrnn {

// The list finds the Python object of a C++ one, which nobody asks for here. Where there is no
// memory to enter an object, pybind11 (3.1) would end the process if it is a constructor's, and
// free what a shared owner still holds if it is a result.
template <class C>
void leave_unlisted() {
  namespace detail = pybind11::detail;
  detail::type_info* const type = detail::get_type_info(typeid(C), true);
  static const auto entered = type->init_instance;
  type->init_instance = [](detail::instance* object, const void* holder) {
    detail::value_and_holder registered =
        object->get_value_and_holder(detail::get_type_info(typeid(C)));
    registered.set_instance_registered(true);
    entered(object, holder);
    registered.set_instance_registered(false);
  };
}

}  // namespace pyrnn
