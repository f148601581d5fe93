"""Gradients composed of torch's own operators, which can be differentiated again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import _VF, Tensor

from pyrnn.interop.torch.nn._call import Call

_FUNCTIONS: dict[str, Any] = {
    "rnn_tanh": _VF.rnn_tanh,
    "rnn_relu": _VF.rnn_relu,
    "lstm": _VF.lstm,
    "gru": _VF.gru,
}


def backward(
    call: Call,
    tensors: tuple[Tensor, ...],
    count: int,
    grads: tuple[Tensor | None, ...],
    needed: Sequence[bool],
    again: bool,
) -> tuple[Tensor | None, ...]:
    """Gradients of x, of the first states and of the weights, as functions of all of them.

    ``tensors`` are these, ``count`` of them states; ``grads`` those of y and of the last states;
    ``again``: whether the gradients shall have gradients.
    """
    with torch.enable_grad(), _without_onednn():
        # Of aliases: the gradient of x leaves out what goes through a first state made of it.
        aliases = [tensor.view_as(tensor) for tensor in tensors]
        x, states, weights = aliases[0], aliases[1 : 1 + count], aliases[1 + count :]
        outputs = _forward(call, x, states, weights)
    given = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None]
    wanted = [alias for alias, is_needed in zip(aliases, needed, strict=True) if is_needed]
    found = iter(
        torch.autograd.grad(
            [out for out, _ in given],
            wanted,
            [grad for _, grad in given],
            create_graph=again,
            allow_unused=True,
        )
    )
    return tuple(next(found) if is_needed else None for is_needed in needed)


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    """Its LSTM has no second derivative. `torch.backends.mkldnn.flags` would set more, and warn."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _forward(
    call: Call, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Layer by layer, because the masks between them are those of the forward."""
    kind, layout = call.kind, call.layout
    own = len(kind.names) * kind.directions
    y = layout.to_torch(x)
    firsts = [layout.state_in(state) for state in states or _zeros(call, y, weights)]
    finals: list[tuple[Tensor, ...]] = []
    for layer in range(kind.num_layers):
        if layer and call.masks:
            y = y * call.masks[layer - 1]
        part = slice(layer * kind.directions, (layer + 1) * kind.directions)
        first = tuple(state[part] for state in firsts)
        hx = first if kind.cell == "lstm" else first[0]
        flat = list(weights[layer * own : (layer + 1) * own])
        settings = ("bias_ih" in kind.names, 1, 0.0, False, kind.directions == 2)
        function = _FUNCTIONS[kind.cell]
        if layout.batch_sizes is None:
            y, *final = function(y, hx, flat, *settings, False)
        else:
            y, *final = function(y, layout.batch_sizes, hx, flat, *settings)
        finals.append(tuple(final))
    last = [torch.cat(parts) for parts in zip(*finals, strict=True)]
    return layout.from_torch(y), *(layout.state_out(state) for state in last)


def _zeros(call: Call, y: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """First states, where none were given."""
    kind, layout = call.kind, call.layout
    rows = y.shape[1] if layout.batch_sizes is None else int(layout.batch_sizes[0])
    sizes = [weights[1].shape[1]]
    if kind.cell == "lstm":
        sizes.append(weights[0].shape[0] // 4)
    stacked = kind.num_layers * kind.directions
    return [layout.state_out(y.new_zeros(stacked, rows, size)) for size in sizes]
