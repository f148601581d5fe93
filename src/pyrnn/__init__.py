"""Recurrent networks on CPUs: RNN, LSTM and GRU, a compiled core beside a readable reference."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyrnn.backend.selection import use_backend
from pyrnn.backend.threads import build_info, get_num_threads, release_memory, set_num_threads
from pyrnn.diagnostics.gradcheck import GradcheckReport, gradcheck
from pyrnn.layers.cells import GRUCell, LSTMCell, RNNCell
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.initializers import initialize
from pyrnn.layers.min_gru import MinGRU
from pyrnn.layers.recurrent import GRU, LSTM, RNN
from pyrnn.layers.sequences import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpad_sequence,
)
from pyrnn.layers.stream import Stream
from pyrnn.parameters.merging import merge_parameters
from pyrnn.training.clipping import clip_grad_norm, clip_grad_value
from pyrnn.training.losses import softmax_cross_entropy
from pyrnn.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

if TYPE_CHECKING:
    from pyrnn import textbook
    from pyrnn.text.character_model import CharacterModel

    __version__: str

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CharacterModel",
    "Embedding",
    "GRUCell",
    "GradcheckReport",
    "LSTMCell",
    "Linear",
    "MinGRU",
    "PackedSequence",
    "RMSprop",
    "RNNCell",
    "Stream",
    "build_info",
    "clip_grad_norm",
    "clip_grad_value",
    "get_num_threads",
    "gradcheck",
    "initialize",
    "merge_parameters",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "release_memory",
    "set_num_threads",
    "softmax_cross_entropy",
    "textbook",
    "unpad_sequence",
    "use_backend",
]

_LAZY = {"CharacterModel": "pyrnn.model", "textbook": "pyrnn.textbook", "__version__": ""}


def __getattr__(name: str) -> Any:
    """Bring what a plain run of a layer does not need, when it is first asked for."""
    if name == "__version__":
        from pyrnn._version import version

        value: Any = version()
    elif name in _LAZY:
        module = importlib.import_module(_LAZY[name])
        value = module if name == "textbook" else getattr(module, name)
    else:
        raise AttributeError(f"module 'pyrnn' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
