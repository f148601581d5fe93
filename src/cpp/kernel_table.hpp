// The one border between code compiled per instruction set and the rest: plain structs of function
// pointers. Nothing here knows of threads, Python or std containers.
//
// Words used throughout:
//   lanes   numbers in one vector register (V)
//   slot    one pre-activation of a unit: a gate, or a part of one. GRU has four: the input's and
//           the hidden state's share of n are slots of their own.
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
#include <cstdint>
#include <limits>

#include "tuning.hpp"

namespace pyrnn {

using Size = std::ptrdiff_t;

// Rounded up, of what is not negative. Internal, as instruction sets share no symbols.
static constexpr Size quotient_up(Size a, Size b) { return (a + b - 1) / b; }

// Numbers of a block.
template <class T>
constexpr Size block_units = 64 / static_cast<Size>(sizeof(T));

// Where a unit's first slot is in a row of several slots; the others are a block apart.
template <class T>
static constexpr Size place_in_row(Size unit, Size slots) {
  return unit / block_units<T> * block_units<T> * slots + unit % block_units<T>;
}

constexpr int max_slots = 8;
constexpr int panel_vectors = 4;
constexpr int max_unit_parameters = 6;

using tuning::l2_weights;

// A parameter that acts on units one by one: `blocks` numbers a unit, (blocks * units,).
struct UnitParameter {
  const char* name;
  int blocks;
};

// Functions of a pre-activation, as a layer may choose them; in the order of
// reference/activations.py.
enum class Function : int {
  sigmoid,
  tanh,
  relu,
  hard_sigmoid,
  identity,
  softsign,
  leaky_relu,
  elu,
  affine,
  scaled_tanh,
  thresholded_relu,
  softplus
};
constexpr int function_count = 12;

template <class T>
struct Activation {
  Function function = Function::tanh;
  T alpha = 0, beta = 0;
};

// Those of a layer: of gates, of the candidate, and of what an LSTM's cell state passes through.
// What goes into gates and candidate is bounded to [-clip, clip] first. For layer norm: what is
// added to variances, and whether an LSTM carries the cell state that is normalised.
template <class T>
struct Activations {
  Activation<T> gate{Function::sigmoid}, candidate, output;
  T clip = std::numeric_limits<T>::infinity();
  T eps = T(1e-5);
  bool normalised_state = false;
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

// What the walk over time has to know of a cell. Made of its slots, and of what else it asks for:
// CellShape::of("name", {from_x_and_h(0)}).carrying(2)
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
  bool direct = false;               // whether h reaches h' past the product, so that dh does too
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
  static constexpr CellShape of(const char* name, const Slot (&all)[SLOTS]) {
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
    direct = true;
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
    UnitParameter* place = unit_parameters;
    while (place->blocks > 0) ++place;
    *place = parameter;
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

// How packed weights are stored: as they are, or narrower, to be widened as they are read. A
// product of narrow weights is that of the widened ones, bit for bit.
enum class Storage : int { full, bfloat16, float16 };

template <class T>
constexpr Size stored_bytes(Storage storage) {
  return storage == Storage::full ? static_cast<Size>(sizeof(T)) : 2;
}

// C[m, :] = init[m, :] + sum over k of A[m, k] B[k, :], for packed B, over rows x panels.
// k runs over `k_outer` stretches of `k_inner`; A's stretches lie `a_outer` apart.
// Every element is one chain of multiply-adds in the order of k, whatever the shape of the call.
template <class T>
struct Product {
  const T* a;
  Size a_row, a_outer;
  const void* b;  // panels of (k, width * lanes), one after the other, as pack_* leave them
  Storage storage;
  Size width;    // vectors a panel, 1..panel_vectors; the last panel may be narrower
  Size vectors;  // vectors of all panels
  const T* init;
  Size init_row, init_panel;
  T* c;
  Size c_row, c_panel;
  Size columns;  // valid columns of C; those past it are neither read nor written
  Size rows, k_outer, k_inner;
  Size panel_begin, panel_end;
  // The same for further groups of rows, so far apart in A, C and init.
  Size groups = 1, a_group = 0, c_group = 0, init_group = 0;
  // Whether C is a row of pre-activations of several slots, of which each panel has one vector:
  // those of a panel lie a block apart then, and c_panel and init_panel are from block to block.
  bool blocks = false;
  // Whether the last panels come first. Of two products with the same weights, the second finds in
  // cache what the first has read last.
  bool last_first = false;
};

// Rows of a matrix in the order in which a sum over them runs: `count` groups of rows, of which
// group g holds `rows[g]` rows from row `first[g]` on.
struct RowGroups {
  const Size* first;
  const Size* rows;
  Size count;
};

// One B of an outer product, and its C.
template <class T>
struct OuterSide {
  int slot_begin, slot_end;  // slots of A that count
  const T* b;
  Size b_row;
  RowGroups b_groups;  // pairs off with A's: same numbers of rows
  const T* b_last;     // the last group's matrix, if it is another one
  Size b_last_row;
  Size columns;  // of B and C
  T* c;
  Size c_row;
};

constexpr int max_outer_sides = 2;

// C[m, :] (+)= sum over rows r of A[r, m] B[r, :], rows in the order of their groups, for each
// side. A's rows are pre-activations; the units of a panel's slot are the rows gate * units + unit
// of C.
template <class T>
struct OuterProduct {
  const T* a;
  Size a_row;
  RowGroups a_groups;
  int slots;          // of a row of A
  Size unit_vectors;  // vectors of units a panel; one where there are several slots
  int gate_of_slot[max_slots];
  Size units;
  Size panel_begin, panel_end;  // panels of A; of several slots, whole blocks of them
  OuterSide<T> sides[max_outer_sides];
  int side_count;
  bool accumulate;
  T* scratch;  // outer_scratch(columns of one side, of the other) numbers
};

// One time step of a cell over rows x panels of units: product, then the pointwise part.
template <class T>
struct StepForward {
  Product<T> product;  // onto the pre-activations; of no width where nothing is to be added
  T* gates;            // (rows, slots * padded units): in z, out what backward needs
  Size gates_row;
  const T* bias;    // (slots * padded units,): what slots begin with that x does not reach
  const T* h_prev;  // (rows, units); read by cells whose h goes past the product
  Size h_prev_row;
  T* h_next;
  Size h_next_row;
  const T* inner_prev;  // the states after h: (rows, padded units) each
  T* inner_next;
  Size inner_row, inner_prev_state, inner_next_state;  // between rows; between states
  T* u;  // (rows, padded units): what the second product takes
  Size u_row;
  const T* unit;  // (unit blocks, padded units): parameters that act on units
  Size unit_block;
  const Activations<T>* activations;
  Size rows, units;
  Size panel_begin, panel_end;
  bool keep;  // whether `gates` is to hold what backward needs
};

// One time step back, pointwise: gates become gradients of pre-activations.
template <class T>
struct StepBackward {
  const T* gates;  // what forward kept
  T* dgates;       // may be `gates`
  Size gates_row, dgates_row;
  const T* h_prev;
  Size h_prev_row;
  const T* inner_prev;
  Size inner_row, inner_prev_state;
  const T* dy;  // (rows, units), or null
  Size dy_row;
  T* dh;      // (rows, padded units): in dh', out what goes past the product
  T* dinner;  // gradients of the states after h, in place
  Size d_row, dinner_state;
  const T* du;      // (rows, padded units), in the half of the step before the second product
  const T* unit;    // (unit blocks, padded units)
  T* dunit;         // (rows, unit blocks, padded units), added to
  Size unit_block;  // between blocks of both
  const Activations<T>* activations;
  T* scratch;  // (scratch blocks, padded units)
  Size rows, units;
  Size panel_begin, panel_end;
};

// `first` halves belong to cells with a second product: what is before it.
template <class T>
struct CellKernels {
  CellShape shape;
  void (*forward)(const StepForward<T>&);
  void (*backward)(const StepBackward<T>&);
  void (*forward_first)(const StepForward<T>&);
  void (*backward_first)(const StepBackward<T>&);
};

// Packing of a weight matrix into the panels of `Product::b`, for the forward pass (units as
// columns of B: k = input) and, unless `back` is null, the backward pass (units as rows: k =
// pre-activations). `back` are two matrices where there are several slots: that of the whole blocks
// of units, then that of the units that are left. The source is (gates * units, columns) in torch's
// layout; `slots` are [slot_begin, slot_end), and panels of units [panel_begin, panel_end) are
// packed of all.
template <class T>
struct PackWeights {
  const T* source;
  Size source_row;
  Size units, columns;
  CellShape shape;
  int slot_begin, slot_end;
  Size panel_begin, panel_end;
  T* forward;
  T* back;
};

// y[row, c] = bias[c] + sum over taps of x[row, tap, c] weight[tap, c]. Weights and bias are in
// whole vectors; channels lie side by side.
template <class T>
struct Depthwise {
  const T* x;
  Size x_row, x_tap;
  const T* weight;
  Size weight_row;
  const T* bias;
  T* y;
  Size y_row;
  Size rows, taps, channels;
};

// What a step of Adam takes: each number is computed in double, and only then rounded. `fresh`
// numbers are 1 - beta: from a beta that is rounded already they would be off by up to all of it.
template <class T>
struct Adam {
  T beta1, fresh1, beta2, fresh2;
  T step;       // lr / (1 - beta1^t)
  T unit_root;  // 1 / sqrt(1 - beta2^t)
  T eps;
  T weight_decay;  // added to the gradient
  T shrink;        // what p is multiplied with, where weight decay is apart from the gradient
};

enum class CellIndex : int {
  rnn_tanh,
  rnn_relu,
  lstm,
  gru,
  lstm_peephole,
  lstm_coupled,
  lstm_coupled_peephole,
  gru_reset_before,
  lstm_layer_norm,
  gru_layer_norm,
  min_gru,
  rnn_activated,
  lstm_activated,
  gru_activated,
  lstm_peephole_activated,
  lstm_coupled_activated,
  lstm_coupled_peephole_activated,
  gru_reset_before_activated,
  count
};

template <class T>
struct Kernels {
  Size lanes;
  CellKernels<T> cells[static_cast<int>(CellIndex::count)];

  void (*product)(const Product<T>&);
  // The same for one-hot rows of A: init + row index[m] of B; `a` is not looked at, k_outer is 1,
  // and a_group counts indices
  void (*gather_product)(const Product<T>&, const std::int64_t* indices);
  void (*outer_product)(const OuterProduct<T>&);
  Size (*outer_scratch)(Size columns, Size other_columns);
  void (*pack_weights)(const PackWeights<T>&);
  // Plain (k, columns) row-major matrix into panels; `transposed` takes (columns, k)
  void (*pack_matrix)(const T* source, Size source_row, Size k, Size columns, bool transposed,
                      T* packed);
  // to[c, r] = from[r, c]
  void (*transpose)(const T* from, Size from_row, Size rows, Size columns, T* to, Size to_row);
  void (*depthwise)(const Depthwise<T>&);
  // sums[j] (+)= sum over rows of a[row, j], j in [begin, end)
  void (*column_sums)(const T* a, Size a_row, RowGroups groups, Size begin, Size end,
                      bool accumulate, T* sums);

  // sums[index[index_row], j] += a[row, j], j in [begin, end): whole vectors; groups pair off
  void (*scatter_sums)(const T* a, Size a_row, RowGroups groups, const std::int64_t* indices,
                       RowGroups index_groups, Size begin, Size end, T* sums, Size sums_row);

  // Multiply-adds in registers only; `sink` takes a vector. Returns the operations done.
  double (*fma_loop)(Size iterations, T* sink);

  // y[i] = f(x[i])
  void (*exp)(const T* x, T* y, Size n);
  void (*tanh)(const T* x, T* y, Size n);
  void (*sigmoid)(const T* x, T* y, Size n);
  void (*sqrt)(const T* x, T* y, Size n);

  // Row-wise: losses = -ln softmax[target], dlogits = softmax - onehot(target).
  void (*softmax_cross_entropy)(const T* logits, const std::int64_t* targets, T* dlogits,
                                double* losses, Size rows, Size columns);
  void (*add)(T* y, const T* x, Size n);  // y += x
  double (*sum_of_squares)(const T* x, Size n);
  void (*scale)(T* x, T factor, Size n);
  void (*clip)(T* x, T limit, Size n);
  void (*sgd)(T* p, const T* g, T* velocity, T lr, T momentum, bool nesterov, T weight_decay,
              Size n);
  void (*adagrad)(T* p, const T* g, T* squares, T lr, T eps, T weight_decay, Size n);
  void (*rmsprop)(T* p, const T* g, T* squares, T lr, T alpha, T fresh, T eps, T weight_decay,
                  Size n);
  void (*adam)(T* p, const T* g, T* m, T* v, const Adam<T>& adam, Size n);
};

struct KernelTable {
  const char* isa;
  Kernels<float> f32;
  Kernels<double> f64;
};

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelTable& table) {
  return table.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelTable& table) {
  return table.f64;
}

// Each is defined by its own compilation of isa/kernels.cpp, if that instruction set was built.
const KernelTable& kernel_table_baseline();
const KernelTable& kernel_table_avx2();
const KernelTable& kernel_table_avx512();
const KernelTable& kernel_table_neon();

}  // namespace pyrnn
