"""Swapping the recurrent modules of a model for pyrnn's."""

from __future__ import annotations

from typing import TypeVar

import torch

from pyrnn.interop.torch.nn import _cells, _layers

Model = TypeVar("Model", bound=torch.nn.Module)

_OURS: dict[type, type] = {
    torch.nn.RNN: _layers.RNN,
    torch.nn.LSTM: _layers.LSTM,
    torch.nn.GRU: _layers.GRU,
    torch.nn.RNNCell: _cells.RNNCell,
    torch.nn.LSTMCell: _cells.LSTMCell,
    torch.nn.GRUCell: _cells.GRUCell,
}


def accelerate(model: Model) -> Model:
    """Compute all recurrent modules of a model with pyrnn's core, in place.

    The modules remain the same objects, with their parameters, hooks and modes; only their class
    becomes the one of this package. An optimiser keeps working, and `state_dict` is unchanged.
    Modules of subclasses are left alone, because these may compute something else.

    Parameters
    ----------
    model : torch.nn.Module
        It may be a recurrent module itself.

    Returns
    -------
    torch.nn.Module
        The model.

    Raises
    ------
    TypeError
        If ``model`` is not a torch module.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from pyrnn.interop.torch import accelerate
    >>> model = accelerate(torch.nn.Sequential(torch.nn.LSTM(3, 4)))
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    for module in model.modules():
        _swap(module)
    return model


def _swap(module: torch.nn.Module) -> None:
    kind = type(module)
    if kind in _OURS:
        module.__class__ = _OURS[kind]
    elif torch.nn.utils.parametrize.is_parametrized(module) and kind.__base__ in _OURS:
        # A class made for this one module, whose properties compute its weights
        own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        module.__class__ = type(kind.__name__, (_OURS[kind.__base__],), own)
