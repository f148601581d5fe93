"""Whose parameters and gradients arrays are, so that an optimiser can refuse another layer's.

A family is a layer with its copies: the gradients of a copy may change the layer's parameters.
"""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pyrnn._types import Array

Family = int
_FAMILIES: dict[int, tuple[weakref.ref[Array], Family]] = {}
"""Of each live parameter, by its identity."""


class Gradients(dict[str, Array]):
    """A dict of gradients that knows the families of the layers they come from.

    Whatever makes another dict of it makes a plain one.
    """

    __slots__ = ("families",)

    def __init__(self, grads: Mapping[str, Array], families: frozenset[Family]) -> None:
        super().__init__(grads)
        self.families: frozenset[Family] = families

    def __or__(self, other: Any) -> Any:
        refuse_clash(self, other, Gradients)
        return super().__or__(other)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


def new_family() -> Family:
    """A number that no other layer has, in this process or another."""
    return secrets.randbits(64)


def register(arrays: Iterable[Array], family: Family) -> None:
    """Remember whose parameters these are, for as long as they live."""
    for array in arrays:
        key = id(array)
        _FAMILIES[key] = weakref.ref(array, partial(_forget, key)), family


def _forget(key: int, _: object) -> None:
    _FAMILIES.pop(key, None)


def families_of(arrays: Iterable[Array]) -> frozenset[Family]:
    """The families of those arrays that are parameters of layers."""
    known = (_FAMILIES.get(id(array)) for array in arrays)
    return frozenset(family for _, family in filter(None, known))


def refuse_clash(one: Mapping[str, Any], other: object, kind: type) -> None:
    """Refuse to merge two dicts of a kind, of which one would hide an array of the other."""
    if isinstance(other, kind) and isinstance(other, Mapping):
        shared = [name for name in one if name in other and one[name] is not other[name]]
        if shared:
            raise ValueError(
                f"both dicts have {', '.join(map(repr, shared))}, of which one would be lost; "
                "use pyrnn.merge_parameters(a=..., b=...), which puts names before them"
            )
