"""The notations of the "RNN from scratch in NumPy" articles, computed by the active backend.

The functions of this module have the notation Wax, Waa, Wya, and Wf, Wi, Wc, Wo (LSTM) or Wu, Wr,
Wc (GRU). `uwv` has the notation U, W, V, and `word_rnn` a model of sentences in it. `cells` has a
stateful cell over the parameters of torch, and `char_rnn` is min-char-rnn.
"""

from __future__ import annotations

from pyrnn.textbook import cells, char_rnn, uwv, word_rnn
from pyrnn.textbook.activations import sigmoid, softmax
from pyrnn.textbook.adam import initialize_adam, update_parameters_with_adam
from pyrnn.textbook.gru import (
    gru_backward,
    gru_cell_backward,
    gru_cell_forward,
    gru_forward,
    gru_loss_and_gradients,
)
from pyrnn.textbook.lstm import (
    lstm_backward,
    lstm_cell_backward,
    lstm_cell_forward,
    lstm_forward,
    lstm_loss_and_gradients,
)
from pyrnn.textbook.rnn import (
    rnn_backward,
    rnn_cell_backward,
    rnn_cell_forward,
    rnn_forward,
    rnn_loss_and_gradients,
)

__all__ = [
    "cells",
    "char_rnn",
    "gru_backward",
    "gru_cell_backward",
    "gru_cell_forward",
    "gru_forward",
    "gru_loss_and_gradients",
    "initialize_adam",
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "lstm_loss_and_gradients",
    "rnn_backward",
    "rnn_cell_backward",
    "rnn_cell_forward",
    "rnn_forward",
    "rnn_loss_and_gradients",
    "sigmoid",
    "softmax",
    "update_parameters_with_adam",
    "uwv",
    "word_rnn",
]
