#include "runtime/cell_weights.hpp"

namespace pyrnn {
namespace {

Size whole_vectors(Size n, Size lanes) { return (n + lanes - 1) / lanes * lanes; }

// (slots * padded,): slots fed by both sides get the sum of both biases
template <class T>
Buffer<T> bias_row(const CellSizes<T>& sizes, const CellParameters<T>& parameters) {
  Buffer<T> row = Buffer<T>::zeros(sizes.gates_row());
  const CellShape& shape = sizes.shape();
  for (Size unit = 0; unit < sizes.hidden_size; ++unit) {
    for (int slot = 0; slot < shape.slots; ++slot) {
      const Size gate_unit = shape.gate_of_slot[slot] * sizes.hidden_size + unit;
      T sum = 0;
      if (shape.of_input(slot) && parameters.bias_ih != nullptr)
        sum += parameters.bias_ih[gate_unit];
      if (shape.of_hidden(slot) && parameters.bias_hh != nullptr)
        sum += parameters.bias_hh[gate_unit];
      row.data()[sizes.gate_offset(slot, unit)] = sum;
    }
  }
  return row;
}

}  // namespace

template <class T>
CellWeights<T>::CellWeights(const CellSizes<T>& cell_sizes, const CellParameters<T>& parameters,
                            bool training)
    : sizes(cell_sizes), bias(bias_row(cell_sizes, parameters)) {
  const Kernels<T>& kernels = *sizes.kernels;
  const CellShape& shape = sizes.shape();
  const Size H = sizes.hidden_size, I = sizes.input_size;
  PackWeights<T> of_input{parameters.weight_ih, I,      H, I, shape, shape.input_begin,
                          shape.input_end,      nullptr};
  PackWeights<T> of_hidden{parameters.weight_hh, H,      H, H, shape, shape.hidden_begin,
                           shape.hidden_end,     nullptr};
  input = Buffer<T>(I * sizes.input_slots() * sizes.padded);
  hidden = Buffer<T>(H * sizes.hidden_slots() * sizes.padded);
  of_input.packed = input.data();
  of_hidden.packed = hidden.data();
  kernels.pack_forward(of_input);
  kernels.pack_forward(of_hidden);
  if (!training) return;
  const Size lanes = sizes.lanes();
  input_back = Buffer<T>(whole_vectors(I, lanes) * sizes.input_slots() * sizes.padded);
  hidden_back = Buffer<T>(sizes.padded * sizes.hidden_slots() * sizes.padded);
  of_input.packed = input_back.data();
  of_hidden.packed = hidden_back.data();
  kernels.pack_backward(of_input);
  kernels.pack_backward(of_hidden);
}

template struct CellWeights<float>;
template struct CellWeights<double>;

}  // namespace pyrnn
