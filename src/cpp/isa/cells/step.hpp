// One time step of any cell: the product onto the pre-activations, and the pointwise arithmetic on
// each panel while it is in L1.
#pragma once

#include "isa/gemm/product.hpp"
#include "isa/simd/partial.hpp"

namespace pyrnn {
namespace {

// Where a panel's units are, and how a row of pre-activations holds them.
template <class V, class Cell>
struct PanelUnits {
  static constexpr Size slot = block_units<typename V::Scalar>;  // from one to the next
  Size first, vectors, gates;  // first unit; vectors of units; offset in a row

  PanelUnits(Size panel, Size units) {
    static_assert(Cell::shape.slots == 1 || Cell::shape.unit_vectors == 1);
    first = panel * Cell::shape.unit_vectors * V::lanes;
    vectors = smaller(Cell::shape.unit_vectors, quotient_up(units - first, V::lanes));
    gates = offset_in_row<typename V::Scalar>(first, Cell::shape.slots);
  }
};

// The pre-activations or gates of one vector of units.
template <class V, class Cell>
inline void load_slots(V (&z)[Cell::shape.slots], const typename V::Scalar* gates, Size slot) {
#pragma GCC unroll 4
  for (int s = 0; s < Cell::shape.slots; ++s) z[s] = V::load(gates + s * slot);
}

template <class V, class Cell>
inline void store_slots(const V* z, typename V::Scalar* gates, Size slot, int begin = 0,
                        int end = Cell::shape.slots) {
#pragma GCC unroll 4
  for (int s = begin; s < end; ++s) z[s].store(gates + s * slot);
}

// Parameters of one vector of units, or their gradients; one vector where there are none.
template <class Cell>
constexpr int unit_vectors_of = Cell::shape.unit_blocks() > 0 ? Cell::shape.unit_blocks() : 1;

template <class V, class Cell>
inline void load_units(V (&parameters)[unit_vectors_of<Cell>], const typename V::Scalar* from,
                       Size unit, Size block) {
  for (int b = 0; b < Cell::shape.unit_blocks(); ++b)
    parameters[b] = V::load(from + b * block + unit);
}

// Slots that x does not reach begin with zero.
template <class V, class Cell>
inline void begin_slots(const StepForward<typename V::Scalar>& q, Size panel_begin,
                        Size panel_end) {
  if constexpr (Cell::shape.input_end < Cell::shape.slots) {
    for (Size panel = panel_begin; panel < panel_end; ++panel) {
      const PanelUnits<V, Cell> units(panel, q.units);
      for (Size row = 0; row < q.rows; ++row)
        for (int s = Cell::shape.input_end; s < Cell::shape.slots; ++s) {
          const Size offset = units.gates + s * units.slot;
          V::zero().store(q.gates + row * q.gates_row + offset);
        }
    }
  }
}

// (rows, units of one panel), pointwise
template <class V, class Cell, bool KEEP>
void forward_panel(const StepForward<typename V::Scalar>& q, Size panel) {
  constexpr int slots = Cell::shape.slots, states = Cell::shape.states;
  const PanelUnits<V, Cell> units(panel, q.units);
  for (Size row = 0; row < q.rows; ++row) {
    for (Size j = 0; j < units.vectors; ++j) {
      const Size unit = units.first + j * V::lanes;
      auto* gates = q.gates + row * q.gates_row + units.gates + j * V::lanes;
      V z[slots], state[states], parameters[unit_vectors_of<Cell>];
      load_slots<V, Cell>(z, gates, units.slot);
      load_units<V, Cell>(parameters, q.unit, unit, q.unit_block);
      state[0] = Cell::shape.passes_h
                     ? load_some<V>(q.h_prev + row * q.h_prev_row + unit, q.units - unit)
                     : V::zero();
#pragma GCC unroll 4
      for (int s = 1; s < states; ++s)
        state[s] = V::load(q.inner_prev + (s - 1) * q.inner_prev_state + row * q.inner_row + unit);
      if constexpr (Cell::shape.has_activations) {
        Cell::forward(z, state, parameters, *q.activations);
      } else {
        Cell::forward(z, state, parameters);
      }
      store_some<V>(state[0], q.h_next + row * q.h_next_row + unit, q.units - unit);
#pragma GCC unroll 4
      for (int s = 1; s < states; ++s)
        state[s].store(q.inner_next + (s - 1) * q.inner_next_state + row * q.inner_row + unit);
      if (KEEP) store_slots<V, Cell>(z, gates, units.slot);
    }
  }
}

// Before the second product: u from the first's pre-activations.
template <class V, class Cell>
void forward_first_panel(const StepForward<typename V::Scalar>& q, Size panel) {
  const PanelUnits<V, Cell> units(panel, q.units);
  for (Size row = 0; row < q.rows; ++row) {
    for (Size j = 0; j < units.vectors; ++j) {
      const Size unit = units.first + j * V::lanes;
      auto* gates = q.gates + row * q.gates_row + units.gates + j * V::lanes;
      V z[Cell::shape.slots], state[1];
      load_slots<V, Cell>(z, gates, units.slot);
      state[0] = load_some<V>(q.h_prev + row * q.h_prev_row + unit, q.units - unit);
      V u;
      if constexpr (Cell::shape.has_activations) {
        u = Cell::forward_first(z, state, *q.activations);
      } else {
        u = Cell::forward_first(z, state);
      }
      u.store(q.u + row * q.u_row + unit);
      store_slots<V, Cell>(z, gates, units.slot);
    }
  }
}

// The product, and what is to be done with each panel as soon as it is there.
template <class V, class Cell, class Pointwise>
void product_and_pointwise(const StepForward<typename V::Scalar>& q, const Pointwise& pointwise) {
  if (q.product.width == 0) {
    for (Size panel = q.panel_begin; panel < q.panel_end; ++panel) pointwise(q, panel);
    return;
  }
  // More rows fill a tile with one panel.
  const bool single = q.rows == 1;
  const PanelTiles tiles = single ? tiles_of_row<V>(q.product, q.panel_begin, q.panel_end)
                                  : PanelTiles(q.panel_begin, q.panel_end, 1, false);
  each_tile(tiles, q.product.last_first, [&](Size begin, Size end) {
    begin_slots<V, Cell>(q, begin, end);
    if (single) {
      product_of_one_row<V>(q.product, begin, end);
    } else {
      product_of_panels<V>(q.product, begin, end);
    }
    for (Size panel = begin; panel < end; ++panel) pointwise(q, panel);
  });
}

template <class V, class Cell>
void step_forward(const StepForward<typename V::Scalar>& q) {
  if constexpr (Cell::shape.whole_rows) {
    begin_slots<V, Cell>(q, q.panel_begin, q.panel_end);
    product<V>(q.product);
    Cell::template forward_rows<V>(q);
  } else {
    product_and_pointwise<V, Cell>(
        q, q.keep ? forward_panel<V, Cell, true> : forward_panel<V, Cell, false>);
  }
}

// (rows, units of some panels), pointwise
template <class V, class Cell>
void backward_panels(const StepBackward<typename V::Scalar>& q) {
  constexpr int slots = Cell::shape.slots, states = Cell::shape.states;
  constexpr int blocks = Cell::shape.unit_blocks();
  for (Size panel = q.panel_begin; panel < q.panel_end; ++panel) {
    const PanelUnits<V, Cell> units(panel, q.units);
    for (Size row = 0; row < q.rows; ++row) {
      for (Size j = 0; j < units.vectors; ++j) {
        const Size unit = units.first + j * V::lanes;
        const Size valid = q.units - unit;
        auto* dh = q.dh + row * q.d_row + unit;
        auto* dunit = blocks == 0 ? nullptr : q.dunit + row * blocks * q.unit_block + unit;
        V z[slots], prev[states], d[states];
        V parameters[unit_vectors_of<Cell>], dparameters[unit_vectors_of<Cell>];
        load_slots<V, Cell>(z, q.gates + row * q.gates_row + units.gates + j * V::lanes,
                            units.slot);
        load_units<V, Cell>(parameters, q.unit, unit, q.unit_block);
        load_units<V, Cell>(dparameters, dunit, 0, q.unit_block);
        prev[0] = Cell::shape.passes_h ? load_some<V>(q.h_prev + row * q.h_prev_row + unit, valid)
                                       : V::zero();
        d[0] = V::load(dh);
        if (q.dy != nullptr) d[0] = d[0] + load_some<V>(q.dy + row * q.dy_row + unit, valid);
#pragma GCC unroll 4
        for (int s = 1; s < states; ++s) {
          prev[s] = V::load(q.inner_prev + (s - 1) * q.inner_prev_state + row * q.inner_row + unit);
          d[s] = V::load(q.dinner + (s - 1) * q.dinner_state + row * q.d_row + unit);
        }
        if constexpr (Cell::shape.has_activations) {
          Cell::backward(z, prev, d, parameters, dparameters, *q.activations);
        } else {
          Cell::backward(z, prev, d, parameters, dparameters);
        }
        store_slots<V, Cell>(z, q.dgates + row * q.dgates_row + units.gates + j * V::lanes,
                             units.slot);
        if (Cell::shape.passes_h) d[0].store(dh);
#pragma GCC unroll 4
        for (int s = 1; s < states; ++s)
          d[s].store(q.dinner + (s - 1) * q.dinner_state + row * q.d_row + unit);
        for (int b = 0; b < blocks; ++b) dparameters[b].store(dunit + b * q.unit_block);
      }
    }
  }
}

template <class V, class Cell>
void step_backward(const StepBackward<typename V::Scalar>& q) {
  if constexpr (Cell::shape.whole_rows) {
    for (Size row = 0; row < q.rows; ++row) Cell::template backward_row<V>(q, row);
  } else {
    backward_panels<V, Cell>(q);
  }
}

// The half of the backward step before the second product. dh has what does not pass through it.
template <class V, class Cell>
void backward_first_panels(const StepBackward<typename V::Scalar>& q) {
  for (Size panel = q.panel_begin; panel < q.panel_end; ++panel) {
    const PanelUnits<V, Cell> units(panel, q.units);
    for (Size row = 0; row < q.rows; ++row) {
      for (Size j = 0; j < units.vectors; ++j) {
        const Size unit = units.first + j * V::lanes;
        auto* dgates = q.dgates + row * q.dgates_row + units.gates + j * V::lanes;
        auto* dh = q.dh + row * q.d_row + unit;
        V z[Cell::shape.slots], prev[1], d[1];
        load_slots<V, Cell>(z, dgates, units.slot);
        prev[0] = load_some<V>(q.h_prev + row * q.h_prev_row + unit, q.units - unit);
        d[0] = V::load(dh);
        const V du = V::load(q.du + row * q.d_row + unit);
        if constexpr (Cell::shape.has_activations) {
          Cell::backward_first(z, prev, du, d, *q.activations);
        } else {
          Cell::backward_first(z, prev, du, d);
        }
        // Other threads may still be reading the slots of the second product.
        store_slots<V, Cell>(z, dgates, units.slot, 0, Cell::shape.second_begin);
        d[0].store(dh);
      }
    }
  }
}

template <class V, class Cell>
constexpr CellKernels<typename V::Scalar> cell_kernels() {
  CellKernels<typename V::Scalar> kernels{Cell::shape, step_forward<V, Cell>,
                                          step_backward<V, Cell>, nullptr, nullptr};
  if constexpr (Cell::shape.has_second()) {
    kernels.forward_first = [](const StepForward<typename V::Scalar>& q) {
      product_and_pointwise<V, Cell>(q, forward_first_panel<V, Cell>);
    };
    kernels.backward_first = backward_first_panels<V, Cell>;
  }
  return kernels;
}

}  // namespace
}  // namespace pyrnn
