"""The layers that models are made of, by name, and the sizes by which they follow each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.composition.pointwise import LayerNorm
from pyrnn.layers.composition.sequential import Sequential
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.text.character_model import CharacterModel


def parts_of(model: Any, name: str = "") -> dict[str, Layer]:
    """The layers in the order of computation, compositions replaced by their parts.

    A layer in a composition has its name after that of the composition, with a dot between. A layer
    alone is called by its kind unless ``name`` says otherwise.
    """
    if isinstance(model, CharacterModel):
        inner: Mapping[str, Any] = {
            key: getattr(model, key)
            for key in ("embedding", "rnn", "linear")
            if getattr(model, key) is not None
        }
    elif isinstance(model, Sequential):
        inner = model.layers
    elif isinstance(model, Layer):
        return {name or type(model).__name__.lower(): model}
    else:
        raise TypeError(f"model: expected a layer, got {type(model).__name__}")
    found: dict[str, Layer] = {}
    for key, one in inner.items():
        found |= parts_of(one, f"{name}.{key}" if name else key)
    return found


def sizes_of(layer: Layer) -> tuple[int, int] | None:
    """Numbers of input and output features; None if a layer keeps any number of features."""
    if isinstance(layer, Recurrent):
        return layer.input_size, layer._features
    if isinstance(layer, Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, Embedding):
        return layer.num_embeddings, layer.embedding_dim
    if isinstance(layer, LayerNorm):
        return layer.normalized_shape, layer.normalized_shape
    if isinstance(layer, Conv1d):
        return layer.in_channels, layer.out_channels
    if isinstance(layer, (BatchNorm1d, InstanceNorm1d)):
        return layer.num_features, layer.num_features
    return None


def plain_cell(layer: Recurrent) -> str:
    """The cell that a layer would have with the usual activations and no clip."""
    base = layer.cell.partition("(")[0].removesuffix("_activated")
    return "rnn_tanh" if base == "rnn" else base
