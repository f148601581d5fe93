"""An embedding folded into the weights of the layer that reads it."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.layers.dense import Embedding
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.layers.recurrent._stack import Recurrent

Folded = TypeVar("Folded", bound=Any)


@public("pyrnn")
def fold_embedding(embedding: Embedding, layer: Folded) -> Folded:
    """Return a layer that takes the indices of an embedding in place of its vectors.

    The product of an embedding's vector with W_ih is the same whenever its index comes, so it is
    computed once for each index: the new layer has W_ih Eᵀ, and looks up a column for an index. It
    needs neither the embedding nor a product with x.

    Parameters
    ----------
    embedding : Embedding
        The table E, (num_embeddings, embedding_dim).
    layer : RNN, LSTM, GRU, MinGRU or one of the cells
        The layer that takes the vectors; its input_size is embedding_dim.

    Returns
    -------
    layer
        A new layer of the same kind and options, with input_size = num_embeddings, in the mode of
        ``layer``. It shares no arrays with either.

    Raises
    ------
    TypeError
        If an argument is no such layer, or the dtypes differ.
    ValueError
        If the sizes do not fit, or the new weight would have more than 2**31 - 1 numbers.

    Notes
    -----
    Results are equal up to rounding: W_ih Eᵀ is summed in float64 and rounded once, to the layer's
    dtype. The weight has gates * hidden_size numbers for each index, more than the embedding, if
    that is narrower. It is meant for inference: training the new layer no longer ties the columns
    to vectors of embedding_dim numbers.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> embedding, layer = pyrnn.Embedding(10, 3, seed=0), pyrnn.GRU(3, 4, seed=1)
    >>> folded = pyrnn.fold_embedding(embedding, layer)
    >>> indices = np.array([[1, 7], [9, 0]])
    >>> bool(np.allclose(folded(indices)[0], layer(embedding(indices))[0], atol=1e-6))
    True
    """
    if not isinstance(embedding, Embedding):
        raise TypeError(f"embedding: expected an Embedding, got {_checks.shown(embedding)}")
    if not isinstance(layer, (Recurrent, Cell)):
        raise TypeError(f"layer: expected a recurrent layer or cell, got {_checks.shown(layer)}")
    if embedding.dtype != layer.dtype:
        raise TypeError(f"layer: expected dtype {embedding.dtype}, got {layer.dtype}")
    if embedding.embedding_dim != layer.input_size:
        raise ValueError(
            f"layer: expected input_size {embedding.embedding_dim}, as embedding_dim, got "
            f"{layer.input_size}"
        )
    folded = type(layer).from_config(layer.config() | {"input_size": embedding.num_embeddings})
    vectors = embedding.parameters["weight"].astype(np.float64)
    for name, array in layer.parameters.items():
        if _reads_input(name):
            array = (array.astype(np.float64) @ vectors.T).astype(layer.dtype)
        folded.parameters[name] = array
    return cast(Folded, folded if layer.training else folded.eval())


def _reads_input(name: str) -> bool:
    """Whether a parameter is multiplied with x."""
    return name.removesuffix("_reverse") in ("weight_ih", "weight_ih_l0")
