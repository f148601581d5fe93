"""What a layer's forward keeps for one backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from pyrnn._pickling import public
from pyrnn._types import Array

Kept = TypeVar("Kept")


@public("pyrnn", "_Cache")
class Cache(Generic[Kept]):
    """What `forward` kept for one `backward` of the same layer.

    ``lengths`` are those of a batch of sequences, if given.
    """

    _owner: object
    _kept: list[Kept]
    backend: str
    output_shape: tuple[int, ...]
    batched: bool
    lengths: npt.NDArray[np.intp] | None

    def __init__(
        self,
        owner: object,
        backend: str,
        kept: Kept,
        output_shape: tuple[int, ...],
        batched: bool,
        lengths: npt.NDArray[np.intp] | None = None,
    ) -> None:
        self.__dict__.update(
            _owner=owner,
            _kept=[kept],
            backend=backend,
            output_shape=output_shape,
            batched=batched,
            lengths=lengths,
        )

    def __setattr__(self, name: str, value: NoReturn) -> None:
        raise AttributeError(f"{name}: nothing of a cache can be set; forward makes another one")

    def check_fresh(self, layer: object) -> None:
        """Refuse another layer's cache, or one that was used."""
        if self._owner is not layer:
            raise ValueError(f"cache: it came from another layer, {self._owner!r}, not {layer!r}")
        if not self._kept:
            raise ValueError("cache: it was used by an earlier backward; call forward again")

    def look(self) -> Kept:
        """Return what was kept, without using it up; call `check_fresh` first."""
        return self._kept[0]

    def use(self) -> Kept:
        """Take what was kept. Only one thread can do so, and only once."""
        try:
            return self._kept.pop()
        except IndexError:
            message = "cache: it was used by an earlier backward; call forward again"
            raise ValueError(message) from None

    def __copy__(self) -> Cache[Kept]:
        """The same cache under another name: one `backward` uses up both."""
        twin: Cache[Kept] = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        if self._kept:
            raise TypeError(
                "cache: it cannot be pickled or copied before its backward; call forward on the "
                "copy of the layer instead"
            )
        return self.__dict__


class StackKept:
    """What a stack of recurrent layers keeps, from the first layer on.

    ``saved`` is what each layer and direction saved, ``masks`` the dropout mask before each layer,
    ``outputs`` those of both directions where they are multiplied, ``top`` those of the last layer.
    ``rows`` are the sequences that have a step, if some have none. ``groups`` are the segments that
    ran, if there was a mask or a reset; ``parts`` is what each group keeps. ``indices`` says
    whether x held indices, where there are such rows or groups.
    """

    rows: npt.NDArray[np.intp] | None = None
    indices: bool = False
    top: list[Array] | None = None
    groups: Sequence[Any] | None = None
    parts: Sequence[StackKept] = ()

    def __init__(self) -> None:
        self.saved: list[Any] = []
        self.masks: list[Array | None] = []
        self.outputs: list[list[Array] | None] = []


SequenceCache = Cache[StackKept]


def check(cache: object, layer: object) -> None:
    """Refuse what is not a cache of this layer, or was used."""
    if not isinstance(cache, Cache):
        raise TypeError(f"cache: expected what forward returned last, got {type(cache).__name__}")
    cache.check_fresh(layer)
