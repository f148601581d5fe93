// Everything that is bound; module.cpp calls each.
#pragma once

#include <pybind11/pybind11.h>

namespace pyrnn {

void bind_info(pybind11::module_& module);
void bind_recurrent(pybind11::module_& module);
void bind_streams(pybind11::module_& module);
void bind_one_steps(pybind11::module_& module);
void bind_dense(pybind11::module_& module);
void bind_convolution(pybind11::module_& module);
void bind_optimizers(pybind11::module_& module);
void bind_rounded_lstm(pybind11::module_& module);
void bind_functions(pybind11::module_& module);
void bind_checks(pybind11::module_& module);
void bind_shortcuts(pybind11::module_& module);

}  // namespace pyrnn
