"""Swapping the recurrent modules of a model for pyrnn's, and back."""

from __future__ import annotations

import copyreg
import functools
from typing import Any, TypeVar

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


def accelerate(model: Model, *, undo: bool = False) -> Model:
    """Compute all recurrent modules of a model with pyrnn's core, in place.

    The modules remain the same objects, with their parameters, hooks and modes; only their class
    becomes the one of this package. An optimiser keeps working, and `state_dict` is unchanged.
    A module of a subclass of, say, `torch.nn.LSTM` keeps all that the subclass defines; where that
    calls the forward of `torch.nn.LSTM` with ``super()``, the core computes.

    Parameters
    ----------
    model : torch.nn.Module
        It may be a recurrent module itself.
    undo : bool, optional
        Give the modules torch's classes back, for what looks at classes rather than with
        ``isinstance``, as `torch.ao.quantization.quantize_dynamic` does, or for a file that
        shall be read without pyrnn.

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
    other = _theirs if undo else _ours
    for module, kind in [(module, other(type(module))) for module in model.modules()]:
        if kind is not None:
            module.__class__ = kind
    return model


def _ours(kind: Any) -> type | None:
    """What a class becomes; None if it stays."""
    if issubclass(kind, (_layers._Layer, _cells._Cell)):
        return None
    base = next((each for each in kind.__mro__ if each in _OURS), None)
    if base is None or base is kind:
        return _OURS.get(kind)
    if _is_parametrized(kind):
        return _on_base(kind, _ours(kind.__bases__[0]))
    return _before(kind, _OURS[base])


def _theirs(kind: type) -> type | None:
    """What a class was; None if it stays."""
    if not issubclass(kind, (_layers._Layer, _cells._Cell)):
        return None
    if _is_parametrized(kind):
        return _on_base(kind, _theirs(kind.__bases__[0]))
    return vars(kind).get("_theirs")


def _is_parametrized(kind: type) -> bool:
    """Whether `parametrize` made it for one module, with properties that compute its weights."""
    return kind.__module__ == torch.nn.utils.parametrize.__name__


def _on_base(kind: type, base: type | None) -> type | None:
    """The same class on another base."""
    if base is None:
        return None
    own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    return type(kind.__name__, (base,), own)


@functools.cache
def _before(kind: Any, ours: type) -> type:
    """Somebody's subclass, whose ``super()`` finds a class of this package first."""

    def reduce(self: Any, protocol: Any) -> Any:
        found = super(made, self).__reduce_ex__(protocol)
        if found[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
            return found
        return _new, (kind,), *found[2:]

    own = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    own |= {"_theirs": kind, "__reduce_ex__": reduce}
    made: Any = type(kind)(kind.__name__, (kind, ours), own)
    return made  # type: ignore[no-any-return]


def _new(kind: Any) -> Any:
    """What a file or a copy of an accelerated module of somebody's subclass begins with."""
    made: Any = _ours(kind) or kind
    return made.__new__(made)
