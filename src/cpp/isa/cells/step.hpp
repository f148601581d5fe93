// One time step of any cell: the product onto the pre-activations, and the pointwise part on each
// panel while it is in L1.
#pragma once

#include "isa/gemm/product.hpp"
#include "isa/simd/partial.hpp"

namespace pyrnn {
namespace {

// Where a panel's units are, and how a row of pre-activations holds them.
template <class V, class Cell>
struct PanelUnits {
  Size first, vectors, gates, slot;  // first unit; vectors of units; offset in a row; slot to slot

  PanelUnits(Size panel, Size units) {
    first = panel * Cell::shape.unit_vectors * V::lanes;
    vectors = smaller(Cell::shape.unit_vectors, (units - first + V::lanes - 1) / V::lanes);
    gates = first * Cell::shape.slots;
    slot = vectors * V::lanes;
  }
};

// (rows, units of one panel), pointwise
template <class V, class Cell, bool KEEP>
void forward_panel(const StepForward<typename V::Scalar>& q, Size panel) {
  constexpr int slots = Cell::shape.slots, states = Cell::shape.states;
  const PanelUnits<V, Cell> at(panel, q.units);
  for (Size row = 0; row < q.rows; ++row) {
    for (Size j = 0; j < at.vectors; ++j) {
      const Size unit = at.first + j * V::lanes;
      auto* gates = q.gates + row * q.gates_row + at.gates + j * V::lanes;
      V z[slots], state[states];
#pragma GCC unroll 4
      for (int s = 0; s < slots; ++s) z[s] = V::load(gates + s * at.slot);
      state[0] = load_some<V>(q.h_prev + row * q.h_prev_row + unit, q.units - unit);
#pragma GCC unroll 4
      for (int s = 1; s < states; ++s)
        state[s] = V::load(q.inner_prev + (s - 1) * q.inner_prev_state + row * q.inner_row + unit);
      Cell::forward(z, state);
      store_some<V>(state[0], q.h_next + row * q.h_next_row + unit, q.units - unit);
#pragma GCC unroll 4
      for (int s = 1; s < states; ++s)
        state[s].store(q.inner_next + (s - 1) * q.inner_next_state + row * q.inner_row + unit);
      if (KEEP) {
#pragma GCC unroll 4
        for (int s = 0; s < slots; ++s) z[s].store(gates + s * at.slot);
      }
    }
  }
}

template <class V, class Cell>
void step_forward(const StepForward<typename V::Scalar>& q) {
  const auto pointwise = q.keep ? forward_panel<V, Cell, true> : forward_panel<V, Cell, false>;
  // One row takes several panels of weights at once; more rows fill a tile with one.
  const Size group = q.rows == 1 ? tile_max_panels<V>(static_cast<int>(q.product.width)) : 1;
  Product<typename V::Scalar> part = q.product;
  for (Size panel = q.panel_begin; panel < q.panel_end;) {
    Size end = smaller(panel + group, q.panel_end);
    // A narrow last panel goes with the ones before it.
    if (q.rows == 1 && end + 1 == q.panel_end && q.panel_end * part.width > part.vectors) ++end;
    part.panel_begin = panel;
    part.panel_end = end;
    product<V>(part);
    for (; panel < end; ++panel) pointwise(q, panel);
  }
}

// (rows, units of some panels), pointwise
template <class V, class Cell>
void step_backward(const StepBackward<typename V::Scalar>& q) {
  constexpr int slots = Cell::shape.slots, states = Cell::shape.states;
  for (Size panel = q.panel_begin; panel < q.panel_end; ++panel) {
    const PanelUnits<V, Cell> at(panel, q.units);
    for (Size row = 0; row < q.rows; ++row) {
      for (Size j = 0; j < at.vectors; ++j) {
        const Size unit = at.first + j * V::lanes;
        const Size valid = q.units - unit;
        const auto* gates = q.gates + row * q.gates_row + at.gates + j * V::lanes;
        auto* dgates = q.dgates + row * q.dgates_row + at.gates + j * V::lanes;
        auto* dh = q.dh + row * q.d_row + unit;
        V z[slots], prev[states], next[states], d[states];
#pragma GCC unroll 4
        for (int s = 0; s < slots; ++s) z[s] = V::load(gates + s * at.slot);
        prev[0] = Cell::shape.direct ? load_some<V>(q.h_prev + row * q.h_prev_row + unit, valid)
                                     : V::zero();
        next[0] = V::zero();  // no cell needs h' besides what it keeps
        d[0] = V::load(dh);
        if (q.dy != nullptr) d[0] = d[0] + load_some<V>(q.dy + row * q.dy_row + unit, valid);
#pragma GCC unroll 4
        for (int s = 1; s < states; ++s) {
          const Size inner = row * q.inner_row + unit;
          prev[s] = V::load(q.inner_prev + (s - 1) * q.inner_prev_state + inner);
          next[s] = V::load(q.inner_next + (s - 1) * q.inner_next_state + inner);
          d[s] = V::load(q.dinner + (s - 1) * q.dinner_state + row * q.d_row + unit);
        }
        Cell::backward(z, prev, next, d);
#pragma GCC unroll 4
        for (int s = 0; s < slots; ++s) z[s].store(dgates + s * at.slot);
        if (Cell::shape.direct) d[0].store(dh);
#pragma GCC unroll 4
        for (int s = 1; s < states; ++s)
          d[s].store(q.dinner + (s - 1) * q.dinner_state + row * q.d_row + unit);
      }
    }
  }
}

}  // namespace
}  // namespace pyrnn
