"""A stack of layers on arrays: forward, backward and forward again, by the active backend.

`pyrnn.layers` does the same for layers that own their arrays. Here the arrays are torch's; they are
passed and packed at every call, so no change of them can be missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _warnings
from pyrnn._types import Array, State
from pyrnn.backend import selection


class Kind(NamedTuple):
    """What a stack is: its cell, and which arrays each layer and direction has."""

    cell: str
    num_layers: int
    directions: int
    names: tuple[str, ...]

    def parameters(self, arrays: Sequence[Array], number: int) -> dict[str, Array]:
        """The arrays of one layer and direction, of all in torch's order."""
        count = len(self.names)
        own = arrays[number * count : (number + 1) * count]
        return dict(zip(self.names, map(np.ascontiguousarray, own), strict=True))


class Kept(NamedTuple):
    """What one forward keeps for any number of backwards."""

    kind: Kind
    backend: str
    saved: list[Any]
    masks: Sequence[Array]


class Outputs(NamedTuple):
    """y (T, N, features), the states (layers * directions, N, size) each, what was kept."""

    y: Array
    states: State
    kept: Kept


class Gradients(NamedTuple):
    """Of x (None if not wanted), of the first states and of all arrays, in torch's order."""

    x: Array | None
    states: State
    arrays: list[Array]


def forward(
    kind: Kind,
    x: Array,
    states: State | None,
    lengths: npt.NDArray[np.intp] | None,
    arrays: Sequence[Array],
    masks: Sequence[Array],
    keep: bool,
) -> Outputs:
    """Run all layers; ``masks`` are what the outputs of all but the last are multiplied with."""
    backend = selection.current()
    both = kind.directions == 2
    final: list[State] = []
    saved: list[Any] = []
    y = x
    for layer in range(kind.num_layers):
        source = _masked(y, masks[layer - 1]) if layer and masks else y
        numbers = range(layer * kind.directions, (layer + 1) * kind.directions)
        packed = [
            backend.pack(kind.cell, kind.parameters(arrays, number), follow=True)
            for number in numbers
        ]
        firsts = [_state_of(states, number) for number in numbers]
        walks: Sequence[selection.Forward]
        if both:
            none = (None, None)
            walks = backend.forward_both(packed, source, firsts, lengths, keep, 0, none)
            y = np.concatenate([outputs for outputs, _, _ in walks], axis=2)
        else:
            walks = (backend.forward(packed[0], source, firsts[0], lengths, keep=keep),)
            y = walks[0][0]
        for _, last, kept in walks:
            final.append(last)
            saved.append(kept)
    return Outputs(y, _stacked(final), Kept(kind, backend.name, saved, masks))


def backward(kept: Kept, dy: Array, dstates: State | None, with_dx: bool) -> Gradients:
    """Gradients of everything; it uses up what was kept until it is renewed.

    The lowest layer's product for dx is left out where the input has no gradient, as characters
    and measurements have none.
    """
    kind, backend = kept.kind, selection.find(kept.backend)
    first: list[State] = []
    grads: list[list[Array]] = []
    dlayer: Array | None = dy
    for layer in range(kind.num_layers - 1, -1, -1):
        numbers = range(layer * kind.directions, (layer + 1) * kind.directions)
        lasts = [_state_of(dstates, number) for number in numbers]
        saved = [kept.saved[number] for number in numbers]
        walks: Sequence[selection.Backward]
        wanted = with_dx or layer > 0
        assert dlayer is not None
        if kind.directions == 2:
            size = dlayer.shape[2] // 2
            parts = dlayer[:, :, :size], dlayer[:, :, size:]
            walks = backend.backward_both(saved, parts, lasts, wanted)
        else:
            walks = (backend.backward(saved[0], dlayer, lasts[0], wanted),)
        for _, dfirst, named in reversed(walks):
            first.append(dfirst)
            grads.append([named[name] for name in kind.names])
        dlayer = None
        with _warnings.unwarned():
            for dx, _, _ in walks:
                if dx is not None:
                    dlayer = dx if dlayer is None else dlayer + dx
        if layer and kept.masks and dlayer is not None:
            dlayer = _masked(dlayer, kept.masks[layer - 1])
    arrays = [array for of_one in reversed(grads) for array in of_one]
    return Gradients(dlayer, _stacked(first[::-1]), arrays)


def renew(kept: Kept) -> None:
    """Run the forward pass again, with its weights and masks, for one more `backward`."""
    backend = selection.find(kept.backend)
    for saved in kept.saved:
        backend.renew(saved)


def _state_of(states: State | None, number: int) -> State | None:
    return None if states is None else tuple([part[number] for part in states])


def _stacked(states: list[State]) -> State:
    """The states of all layers and directions in one array; a single one is not copied."""
    if len(states) == 1:
        return tuple([part[None] for part in states[0]])
    return tuple([np.stack(parts) for parts in zip(*states, strict=True)])


def _masked(y: Array, mask: Array) -> Array:
    with _warnings.unwarned():
        product: Array = y * mask
    return product
