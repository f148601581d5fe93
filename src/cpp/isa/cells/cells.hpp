// The list of cells, in the order of CellIndex. A new cell is its header and a line here.
#pragma once

#include "isa/cells/gru.hpp"
#include "isa/cells/gru_activated.hpp"
#include "isa/cells/gru_layer_norm.hpp"
#include "isa/cells/gru_reset_before.hpp"
#include "isa/cells/lstm.hpp"
#include "isa/cells/lstm_activated.hpp"
#include "isa/cells/lstm_layer_norm.hpp"
#include "isa/cells/min_gru.hpp"
#include "isa/cells/rnn.hpp"
#include "isa/cells/rnn_activated.hpp"

namespace pyrnn {
namespace {

template <class... Cells>
struct CellList {};

using AllCells =
    CellList<RnnTanh, RnnRelu, Lstm, Gru, LstmPeephole, LstmCoupled, LstmCoupledPeephole,
             GruResetBefore, LstmLayerNorm, GruLayerNorm, MinGru, RnnActivated, LstmActivated,
             GruActivated, LstmPeepholeActivated, LstmCoupledActivated,
             LstmCoupledPeepholeActivated, GruResetBeforeActivated>;

}  // namespace
}  // namespace pyrnn
