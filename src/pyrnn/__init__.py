"""Recurrent neural networks on CPUs: a fast C++ core beside a readable NumPy reference.

Where to start:

- layers: `RNN`, `LSTM`, `GRU`, `MinGRU`, single cells, `Linear`, `Embedding`, `Conv1d`; several as
  one `Sequential`. ``layer(x)`` is inference, ``forward`` and ``backward`` are for training, and
  ``layer.stream()`` advances one time step per call;
- training: `Trainer`, or your own loop with `losses`, `optim` and `clip_grad_norm`;
- gradients: `gradcheck` compares a backward pass, of pyrnn or your own, with finite differences;
- articles: `textbook` has the functions of "RNN from scratch in NumPy" articles;
- text: `CharacterModel`, `text`, and the command ``pyrnn train``;
- files: `serialization`; models of other libraries: `interop`; estimators: ``pyrnn.sklearn``;
- machine: `use_backend`, `set_num_threads`, `build_info`.

Names, argument order, shapes and gate orders of layers and optimisers are those of torch. Each name
has a docstring with an example: ``help(pyrnn.LSTM)``. Guides are in docs/ of the source.

Examples
--------
>>> import numpy as np, pyrnn
>>> lstm = pyrnn.LSTM(3, 8, seed=0)
>>> x = np.ones((20, 4, 3), dtype=np.float32)  # time, batch, features
>>> y, (h, c), cache = lstm.forward(x)
>>> dx, (dh, dc), grads = lstm.backward(cache, np.ones_like(y))
>>> pyrnn.Adam(lstm.parameters, lr=1e-2).step(grads)
"""

# Names are imported at their first use, so that ``import pyrnn`` takes next to no time.
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pyrnn._imports.lazy import importing

if TYPE_CHECKING:
    from pyrnn import callbacks as callbacks
    from pyrnn import diagnostics as diagnostics
    from pyrnn import interop as interop
    from pyrnn import losses as losses
    from pyrnn import optim as optim
    from pyrnn import report as report
    from pyrnn import serialization as serialization
    from pyrnn import sklearn as sklearn
    from pyrnn import text as text
    from pyrnn import textbook as textbook
    from pyrnn import typing as typing
    from pyrnn.backend.selection import use_backend as use_backend
    from pyrnn.backend.threads import build_info as build_info
    from pyrnn.backend.threads import get_num_threads as get_num_threads
    from pyrnn.backend.threads import release_memory as release_memory
    from pyrnn.backend.threads import set_num_threads as set_num_threads
    from pyrnn.diagnostics.gradcheck import GradcheckReport as GradcheckReport
    from pyrnn.diagnostics.gradcheck import gradcheck as gradcheck
    from pyrnn.diagnostics.gradcheck_loss import gradcheck_loss as gradcheck_loss
    from pyrnn.interop.serialization import load as load
    from pyrnn.interop.serialization import save as save
    from pyrnn.layers._layer import Layer as Layer
    from pyrnn.layers.composition.batch_norm import BatchNorm1d as BatchNorm1d
    from pyrnn.layers.composition.pointwise import Activation as Activation
    from pyrnn.layers.composition.pointwise import Dropout as Dropout
    from pyrnn.layers.composition.pointwise import LayerNorm as LayerNorm
    from pyrnn.layers.composition.pointwise import Softmax as Softmax
    from pyrnn.layers.composition.pooling import LastStep as LastStep
    from pyrnn.layers.composition.pooling import MeanOverTime as MeanOverTime
    from pyrnn.layers.composition.sequential import Sequential as Sequential
    from pyrnn.layers.composition.stream import SequentialStream as SequentialStream
    from pyrnn.layers.convolution.conv1d import Conv1d as Conv1d
    from pyrnn.layers.convolution.over_time import InstanceNorm1d as InstanceNorm1d
    from pyrnn.layers.convolution.over_time import MaxPool1d as MaxPool1d
    from pyrnn.layers.convolution.stream import Conv1dStream as Conv1dStream
    from pyrnn.layers.dense import Embedding as Embedding
    from pyrnn.layers.dense import Linear as Linear
    from pyrnn.layers.folding import fold_embedding as fold_embedding
    from pyrnn.layers.initializers import initialize as initialize
    from pyrnn.layers.recurrent.gru import GRU as GRU
    from pyrnn.layers.recurrent.gru import GRUCell as GRUCell
    from pyrnn.layers.recurrent.lstm import LSTM as LSTM
    from pyrnn.layers.recurrent.lstm import LSTMCell as LSTMCell
    from pyrnn.layers.recurrent.min_gru import MinGRU as MinGRU
    from pyrnn.layers.recurrent.rnn import RNN as RNN
    from pyrnn.layers.recurrent.rnn import RNNCell as RNNCell
    from pyrnn.layers.recurrent.stream import Stream as Stream
    from pyrnn.layers.sequences import PackedSequence as PackedSequence
    from pyrnn.layers.sequences import pack_padded_sequence as pack_padded_sequence
    from pyrnn.layers.sequences import pack_sequence as pack_sequence
    from pyrnn.layers.sequences import pad_packed_sequence as pad_packed_sequence
    from pyrnn.layers.sequences import pad_sequence as pad_sequence
    from pyrnn.layers.sequences import unpad_sequence as unpad_sequence
    from pyrnn.parameters.merging import merge_parameters as merge_parameters
    from pyrnn.text.character_model import CharacterModel as CharacterModel
    from pyrnn.training._optimizer import Optimizer as Optimizer
    from pyrnn.training.clipping import clip_grad_norm as clip_grad_norm
    from pyrnn.training.clipping import clip_grad_norm_ as clip_grad_norm_
    from pyrnn.training.clipping import clip_grad_value as clip_grad_value
    from pyrnn.training.clipping import clip_grad_value_ as clip_grad_value_
    from pyrnn.training.losses.classification import softmax_cross_entropy as softmax_cross_entropy
    from pyrnn.training.optimizers import SGD as SGD
    from pyrnn.training.optimizers import Adagrad as Adagrad
    from pyrnn.training.optimizers import Adam as Adam
    from pyrnn.training.optimizers import AdamW as AdamW
    from pyrnn.training.optimizers import RMSprop as RMSprop
    from pyrnn.training.run.trainer import Trainer as Trainer

    __version__: str

_NAMES = {
    "pyrnn.backend.selection": ["use_backend"],
    "pyrnn.backend.threads": [
        "build_info",
        "get_num_threads",
        "release_memory",
        "set_num_threads",
    ],
    "pyrnn.diagnostics.gradcheck": ["GradcheckReport", "gradcheck"],
    "pyrnn.diagnostics.gradcheck_loss": ["gradcheck_loss"],
    "pyrnn.interop.serialization": ["load", "save"],
    "pyrnn.layers._layer": ["Layer"],
    "pyrnn.layers.composition.batch_norm": ["BatchNorm1d"],
    "pyrnn.layers.composition.pooling": ["LastStep", "MeanOverTime"],
    "pyrnn.layers.composition.pointwise": ["Activation", "Dropout", "LayerNorm", "Softmax"],
    "pyrnn.layers.composition.sequential": ["Sequential"],
    "pyrnn.layers.composition.stream": ["SequentialStream"],
    "pyrnn.layers.convolution.conv1d": ["Conv1d"],
    "pyrnn.layers.convolution.over_time": ["InstanceNorm1d", "MaxPool1d"],
    "pyrnn.layers.convolution.stream": ["Conv1dStream"],
    "pyrnn.layers.dense": ["Embedding", "Linear"],
    "pyrnn.layers.folding": ["fold_embedding"],
    "pyrnn.layers.initializers": ["initialize"],
    "pyrnn.layers.recurrent.gru": ["GRU", "GRUCell"],
    "pyrnn.layers.recurrent.lstm": ["LSTM", "LSTMCell"],
    "pyrnn.layers.recurrent.min_gru": ["MinGRU"],
    "pyrnn.layers.recurrent.rnn": ["RNN", "RNNCell"],
    "pyrnn.layers.sequences": [
        "PackedSequence",
        "pack_padded_sequence",
        "pack_sequence",
        "pad_packed_sequence",
        "pad_sequence",
        "unpad_sequence",
    ],
    "pyrnn.layers.recurrent.stream": ["Stream"],
    "pyrnn.parameters.merging": ["merge_parameters"],
    "pyrnn.text.character_model": ["CharacterModel"],
    "pyrnn.training._optimizer": ["Optimizer"],
    "pyrnn.training.clipping": [
        "clip_grad_norm",
        "clip_grad_norm_",
        "clip_grad_value",
        "clip_grad_value_",
    ],
    "pyrnn.training.losses.classification": ["softmax_cross_entropy"],
    "pyrnn.training.optimizers": ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop"],
    "pyrnn.training.run.trainer": ["Trainer"],
}
_MODULES = [
    "callbacks",
    "diagnostics",
    "interop",
    "losses",
    "optim",
    "report",
    "serialization",
    "text",
    "textbook",
    "typing",
]
# Public too, but not listed: they need an extra, and ``help(pyrnn)`` must work without it.
_MODULES_OF_EXTRAS = ["sklearn"]
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
# Pickles name what they hold by the module pyrnn, so that they outlive a move of modules. These
# names are in pickles alone; old ones must stay here.
_PICKLED = {
    "_Cache": ("pyrnn.layers._cache", "Cache"),
    "_FixedWeights": ("pyrnn.layers.recurrent._weights.fixed", "FixedWeights"),
    "_ModelCache": ("pyrnn.text._model_parts", "ModelCache"),
    "_FixedLayers": ("pyrnn.layers.composition._layers", "FixedLayers"),
    "_ParamGroup": ("pyrnn.training._groups", "ParamGroup"),
    "_own_array": ("pyrnn._pickling", "own_array"),
    "_parameter_dict": ("pyrnn.parameters.dictionary", "restored"),
}

__all__ = sorted([*_HOMES, *_MODULES])

# Type checkers read the imports above; this function would hide misspelt names from them.
if not TYPE_CHECKING:

    def __getattr__(name):
        """Import a public name when it is first used."""
        if name == "__version__":
            module, own = "pyrnn._version", "version"
        elif name in _HOMES:
            module, own = _HOMES[name], name
        elif name in _MODULES or name in _MODULES_OF_EXTRAS:
            module, own = f"pyrnn.{name}", None
        elif name in _PICKLED:
            module, own = _PICKLED[name]
        else:
            raise AttributeError(f"module 'pyrnn' has no attribute {name!r}")
        with importing():
            value = importlib.import_module(module)
        if own is not None:
            value = getattr(value, own)
        if name == "__version__":
            value = value()
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
