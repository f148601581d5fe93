"""A layer's parameters, a dict of live arrays that checks what is assigned; their first values."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np
import numpy.random  # else NumPy imports it at its first use, during which a fork is unsafe

from pyrnn import _checks, _pieces
from pyrnn._pickling import pickled_all, public
from pyrnn._types import Array
from pyrnn.parameters import owners


class ParameterDict(dict[str, Array]):
    """The live arrays of a layer by name.

    Assigning to a key checks shape and dtype and copies into the existing array, so that views and
    optimisers keep referring to it. Keys can be neither added nor removed.
    """

    def __setitem__(self, name: str, value: Any) -> None:
        checked = self._check(name, value)
        self[name][...] = checked

    def _check(self, name: str, value: Any) -> Array:
        """What may be assigned to a key."""
        if name not in self:
            raise KeyError(f"unknown parameter {name!r}; there are {', '.join(self)}")
        array = self[name]
        checked = _checks.float_array(name, value, array.dtype, array.shape)
        if not array.flags.writeable:
            raise ValueError(f"{name}: the layer is in eval mode; call train() before changing it")
        return checked

    def update(self, other: Any = (), /, **named: Any) -> None:
        """Assign to several keys; all of them are checked before the first is changed."""
        checked = {name: self._check(name, value) for name, value in dict(other, **named).items()}
        for name, value in checked.items():
            self[name][...] = value

    def __or__(self, other: Any) -> Any:
        owners.refuse_clash(self, other, ParameterDict)
        return super().__or__(other)

    def __ior__(self, other: Any) -> ParameterDict:  # type: ignore[override]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Array:
        """Return the array of that name; there is nothing to add."""
        if name not in self:
            self[name] = default
        return self[name]

    def __delitem__(self, name: str) -> NoReturn:
        self._fixed()

    def pop(self, *args: Any) -> NoReturn:
        """Refuse: a layer keeps all its parameters."""
        self._fixed()

    def popitem(self) -> NoReturn:
        """Refuse: a layer keeps all its parameters."""
        self._fixed()

    def clear(self) -> NoReturn:
        """Refuse: a layer keeps all its parameters."""
        self._fixed()

    def _fixed(self) -> NoReturn:
        raise TypeError("a layer's parameters can be assigned to, but not removed")

    def __reduce__(self) -> Any:
        return restored, (pickled_all(self),)

    def __copy__(self) -> ParameterDict:
        return ParameterDict(self)

    def set_writeable(self, writeable: bool) -> None:
        """Make the arrays read-only (eval mode) or writeable again."""
        for array in self.values():
            array.flags.writeable = writeable


def arrays_of(model: Any) -> dict[str, Array]:
    """Parameters and buffers of a layer or model by name: all that is learned or kept of data."""
    return {**model.parameters, **getattr(model, "buffers", {})}


def set_arrays(model: Any, values: Mapping[str, Any]) -> None:
    """Assign to parameters and buffers by name; all are checked before the first is changed."""
    buffers = getattr(model, "buffers", None) or ParameterDict({})
    kept = {name: buffers._check(name, values[name]) for name in buffers if name in values}
    model.parameters.update({name: value for name, value in values.items() if name not in kept})
    buffers.update(kept)


@public("pyrnn", "_parameter_dict")
def restored(arrays: Mapping[str, Array]) -> ParameterDict:
    """What a pickle of a `ParameterDict` calls."""
    return ParameterDict(arrays)


# --- first values ---------------------------------------------------------------------------


class _Room:
    """Where nothing is drawn: the bytes that are left, arrays to take, those made so far."""

    def __init__(self, left: int, given: Iterable[Array]) -> None:
        self.left = left
        self.given = iter(given)
        self.made: list[Array] = []


_room: ContextVar[_Room | None] = ContextVar("pyrnn_room_for_parameters", default=None)


@contextlib.contextmanager
def not_drawn(most: int, given: Iterable[Array] = ()) -> Iterator[list[Array]]:
    """Inside a ``with`` block parameters begin at zero, because they will be overwritten.

    All together they may have ``most`` bytes; more are a ValueError before there is memory for
    them. The arrays are listed in the order in which they are made; ``given`` are taken instead of
    new ones, in this order.
    """
    room = _Room(most, given)
    token = _room.set(room)
    try:
        yield room.made
    finally:
        _room.reset(token)


def are_drawn() -> bool:
    """Whether first values count."""
    return _room.get() is None


def uniform(
    shapes: Iterable[tuple[str, tuple[int, ...]]],
    bound: float,
    dtype: np.dtype[Any],
    seed: object,
) -> tuple[ParameterDict, np.random.Generator]:
    """Parameters drawn from U(-bound, bound), as torch's layers have them, and the generator."""
    generator = random_generator(seed)
    return _drawn(shapes, dtype, lambda shape: between(generator, bound, shape)), generator


def between(generator: np.random.Generator, bound: float, shape: tuple[int, ...]) -> Array:
    """Numbers drawn from U(-bound, bound).

    As ``generator.uniform``, which may round the product and the sum at once, or each, depending on
    how NumPy was compiled.
    """
    return -bound + (bound + bound) * generator.random(shape)


def normal(
    shapes: Iterable[tuple[str, tuple[int, ...]]], dtype: np.dtype[Any], seed: object
) -> ParameterDict:
    """Parameters drawn from N(0, 1)."""
    return _drawn(shapes, dtype, random_generator(seed).standard_normal)


def _drawn(
    shapes: Iterable[tuple[str, tuple[int, ...]]],
    dtype: np.dtype[Any],
    draw: Callable[[tuple[int, ...]], Array],
) -> ParameterDict:
    """Parameters from a function that draws arrays of a shape, unless they are `not_drawn`."""
    room, arrays = _room.get(), {}
    for name, shape in shapes:
        _checks.parameter_shape(name, shape)
        if room is None:
            arrays[name] = _pieces.drawn(draw, shape, dtype)
            continue
        room.left -= math.prod(shape) * dtype.itemsize
        if room.left < 0:
            raise ValueError(
                f"{name}: expected sizes that fit the tensors' numbers, got shape "
                f"{_checks.shown(shape)}"
            )
        array = next(room.given, None)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = np.zeros(shape, dtype)
        arrays[name] = array
        room.made.append(array)
    return ParameterDict(arrays)


def random_generator(seed: object) -> np.random.Generator:
    """NumPy's generator from a seed (None: from the system's entropy)."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(_checks.seed(seed))
