// The list of cells, in the order of CellIndex. A new cell is its header and a line here.
#pragma once

#include "isa/cells/gru.hpp"
#include "isa/cells/lstm.hpp"
#include "isa/cells/rnn.hpp"

namespace pyrnn {
namespace {

template <class... Cells>
struct CellList {};

using AllCells = CellList<RnnTanh, RnnRelu, Lstm, Gru>;

}  // namespace
}  // namespace pyrnn
