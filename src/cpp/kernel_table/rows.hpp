// How rows of pre-activations and panels of weights are laid out.
//
// Words used throughout:
//   lanes   numbers in one vector register (V)
//   slot    one pre-activation of a unit: a gate, or a part of one. GRU has four: the input's and
//           what the hidden state adds to n are slots of their own.
//   panel   the vectors that lie side by side in packed weights, at most `panel_vectors`. A cell
//           with several slots has one vector of units a panel, all slots of these units together;
//           a cell with one slot has `panel_vectors` vectors of units a panel.
//   block   64 bytes of units, on every instruction set: one vector, two or four.
//   row     one sequence at one time step. A row of pre-activations holds, block after block, slot
//           after slot, the units of that block; where there are several slots, the last block is
//           as long as the others. So the order in which sums run over a row is everywhere the
//           same.
#pragma once

#include <cstddef>

namespace pyrnn {

using Size = std::ptrdiff_t;

// Rounded up, of what is not negative. Internal, as instruction sets share no symbols.
static constexpr Size quotient_up(Size a, Size b) { return (a + b - 1) / b; }

// Numbers of a block.
template <class T>
constexpr Size block_units = 64 / static_cast<Size>(sizeof(T));

// Where a unit's first slot is in a row of several slots; the others are a block apart.
template <class T>
static constexpr Size offset_in_row(Size unit, Size slots) {
  return unit / block_units<T> * block_units<T> * slots + unit % block_units<T>;
}

constexpr int max_slots = 8;
constexpr int panel_vectors = 4;

}  // namespace pyrnn
