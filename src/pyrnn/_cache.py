"""What a layer's forward keeps for one backward."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array


class LayerCache(NamedTuple):
    """One layer of a stack: what its directions saved, and the dropout mask before it."""

    saved: list[Any]
    mask: Array | None


class Cache:
    """What `forward` kept; it serves one `backward` of the layer it came from."""

    def __init__(
        self,
        owner: object,
        backend: str,
        layers: list[LayerCache],
        output_shape: tuple[int, ...],
        batched: bool,
        lengths: npt.NDArray[np.intp] | None,
    ) -> None:
        self._owner = owner
        self._layers: list[LayerCache] | None = layers
        self.backend = backend
        self.output_shape = output_shape
        self.batched = batched
        self.lengths = lengths

    def check_owner(self, layer: object) -> None:
        """Refuse another layer's cache, or one that was used."""
        if self._owner is not layer:
            raise ValueError(f"cache: it came from another layer, {self._owner!r}, not {layer!r}")
        if self._layers is None:
            raise ValueError("cache: it was used by an earlier backward; call forward again")

    def use(self) -> list[LayerCache]:
        """Take what was kept; it can be taken once."""
        layers, self._layers = self._layers, None
        assert layers is not None
        return layers
