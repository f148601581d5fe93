// What a cell is, apart from its arithmetic: slots, states, parameters of its own.
#pragma once

#include <cstddef>

#include "kernel_table/rows.hpp"

namespace pyrnn {

constexpr int max_unit_parameters = 6;

// A parameter that acts on units one by one: `blocks` numbers a unit, (blocks * units,).
struct UnitParameter {
  const char* name;
  int blocks;
};

// A pre-activation of each unit: the gate, or row block of the weights, and what is multiplied with
// it there.
struct Slot {
  int gate;
  bool x, h, u;
};
static constexpr Slot from_x(int gate) { return {gate, true, false, false}; }
static constexpr Slot from_h(int gate) { return {gate, false, true, false}; }
static constexpr Slot from_x_and_h(int gate) { return {gate, true, true, false}; }
static constexpr Slot from_x_and_u(int gate) { return {gate, true, false, true}; }

// What the loop over time must know of a cell: its slots, and what else it needs. It is made so:
// CellShape::of_slots("name", {from_x_and_h(0)}).carrying(2)
struct CellShape {
  const char* name = nullptr;
  int gates = 0;        // row blocks of weight_ih and weight_hh
  int states = 1;       // h, and whatever else is carried
  int slots = 0;        // pre-activations a unit
  int input_begin = 0;  // slots that x W_ih adds to: [input_begin, input_end)
  int input_end = 0;
  int hidden_begin = 0;  // slots that h W_hh adds to: [hidden_begin, hidden_end)
  int hidden_end = 0;
  int gate_of_slot[max_slots] = {};  // which row block of the weights feeds the slot
  bool passes_h = false;             // whether h reaches h' past the product, so that dh does too
  int unit_vectors = 1;              // vectors of units a panel
  // Slots that a second product inside the step adds to: a vector u, which the cell makes of the
  // first product, times the rows of weight_hh that belong to these slots.
  int second_begin = 0;
  int second_end = 0;
  // A step needs whole rows of units, so that units cannot be split over threads. Backward needs
  // `scratch_blocks` rows of padded units as scratch memory.
  bool whole_rows = false;
  int scratch_blocks = 0;
  bool has_activations = false;  // whether they are chosen when the layer is made
  UnitParameter unit_parameters[max_unit_parameters] = {};

  template <std::size_t SLOTS>
  static constexpr CellShape of_slots(const char* name, const Slot (&all)[SLOTS]) {
    static_assert(SLOTS <= std::size_t{max_slots});
    CellShape shape;
    shape.name = name;
    for (const Slot& slot : all) {
      const int index = shape.slots++;
      shape.gate_of_slot[index] = slot.gate;
      if (slot.gate >= shape.gates) shape.gates = slot.gate + 1;
      if (slot.x) append(index, shape.input_begin, shape.input_end);
      if (slot.h) append(index, shape.hidden_begin, shape.hidden_end);
      if (slot.u) append(index, shape.second_begin, shape.second_end);
    }
    return shape;
  }
  constexpr CellShape& carrying(int count) {
    states = count;
    return *this;
  }
  constexpr CellShape& passing_h() {
    passes_h = true;
    return *this;
  }
  constexpr CellShape& in_wide_panels() {
    unit_vectors = panel_vectors;
    return *this;
  }
  constexpr CellShape& activated() {
    has_activations = true;
    return *this;
  }
  constexpr CellShape& over_whole_rows(int blocks_to_work_in) {
    whole_rows = true;
    scratch_blocks = blocks_to_work_in;
    return *this;
  }
  constexpr CellShape& with(UnitParameter parameter) {
    UnitParameter* next = unit_parameters;
    while (next->blocks > 0) ++next;
    *next = parameter;
    return *this;
  }

  constexpr bool of_input(int slot) const { return slot >= input_begin && slot < input_end; }
  constexpr bool of_hidden(int slot) const {
    return (slot >= hidden_begin && slot < hidden_end) ||
           (slot >= second_begin && slot < second_end);
  }
  constexpr bool has_hidden() const { return hidden_end > hidden_begin; }
  constexpr bool has_second() const { return second_end > second_begin; }
  constexpr int unit_blocks() const {
    int blocks = 0;
    for (const UnitParameter& parameter : unit_parameters) blocks += parameter.blocks;
    return blocks;
  }

 private:
  // One more slot of [begin, end). A gap is no constant expression, so it does not compile.
  static constexpr void append(int slot, int& begin, int& end) {
    if (begin == end) begin = end = slot;
    if (slot != end) throw "slots that one product adds to lie side by side";
    ++end;
  }
};

}  // namespace pyrnn
