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

Families = frozenset[int]
_FAMILIES: dict[int, tuple[weakref.ref[Array], Families]] = {}
"""Of each live parameter, by its identity."""


class Gradients(dict[str, Array]):
    """A dict of gradients that knows the families of the layers they come from.

    Whatever makes another dict of it makes a plain one.
    """

    __slots__ = ("families",)

    def __init__(self, grads: Mapping[str, Array], families: Families) -> None:
        dict.__init__(self, grads)
        self.families: Families = families

    def __or__(self, other: Any) -> Any:
        refuse_clash(self, other, Gradients)
        return super().__or__(other)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


def new_family() -> Families:
    """One family: a number that no other layer has, in this process or another."""
    return frozenset((secrets.randbits(64),))


def register(arrays: Iterable[Array], families: Families) -> None:
    """Remember whose parameters these are, for as long as they live."""
    for array in arrays:
        key = id(array)
        _FAMILIES[key] = weakref.ref(array, partial(_forget, key)), families


def _forget(key: int, _: object) -> None:
    _FAMILIES.pop(key, None)


def families_of(arrays: Iterable[Array]) -> Families:
    """The families of those arrays that are parameters of layers."""
    known = (_FAMILIES.get(id(array)) for array in arrays)
    return frozenset().union(*(families for _, families in filter(None, known)))


def refuse_clash(one: Mapping[str, Any], other: object, kind: type) -> None:
    """Refuse to merge two dicts of a kind, of which one would hide an array of the other."""
    if isinstance(other, kind) and isinstance(other, Mapping):
        shared = [name for name in one if name in other and one[name] is not other[name]]
        if shared:
            raise ValueError(
                f"both dicts have {', '.join(map(repr, shared))}, of which one would be lost; "
                "use pyrnn.merge_parameters(a=..., b=...), which puts names before them"
            )
