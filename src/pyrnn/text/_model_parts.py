"""What a character model is made of: its cells, its caches, the checks of its options."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.layers import _cache
from pyrnn.layers.recurrent.gru import GRU
from pyrnn.layers.recurrent.lstm import LSTM
from pyrnn.layers.recurrent.min_gru import MinGRU
from pyrnn.layers.recurrent.rnn import RNN
from pyrnn.text.vocabularies import kinds
from pyrnn.text.vocabularies.base import BaseVocabulary

CellName = Literal["rnn", "lstm", "gru", "mingru"]
CELLS: dict[str, type[RNN] | type[LSTM] | type[GRU] | type[MinGRU]] = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "mingru": MinGRU,
}


@public("pyrnn", "_ModelCache")
class ModelCache(NamedTuple):
    """The caches of a model's layers, for one `CharacterModel.backward`."""

    embedding: _cache.Cache[Any] | None
    rnn: _cache.Cache[Any]
    linear: _cache.Cache[Any]


def check_vocabulary(_: str, value: Any) -> BaseVocabulary:
    return kinds.checked(value)


def check_cell(name: str, value: Any) -> Any:
    if not isinstance(value, str) or value not in CELLS:
        raise ValueError(f"{name}: expected one of {', '.join(CELLS)}, got {_checks.shown(value)}")
    return value


def check_embedding_dim(name: str, value: Any) -> int | None:
    return None if value is None else _checks.size(name, value)
