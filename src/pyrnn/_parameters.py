"""A layer's parameters, a dict of live arrays that checks what is assigned; their first values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from pyrnn import _checks, _owners
from pyrnn._pickling import pickled_all
from pyrnn._types import Array


class ParameterDict(dict[str, Array]):
    """The live arrays of a layer by name.

    Assigning to a key checks shape and dtype and copies into the array that is there, so that
    views and optimisers keep pointing at it. Keys can be neither added nor taken away.
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
        _owners.refuse_clash(self, other, ParameterDict)
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
        return _restore, (pickled_all(self),)

    def __copy__(self) -> ParameterDict:
        return ParameterDict(self)

    def set_writeable(self, writeable: bool) -> None:
        """Make the arrays read-only (eval mode) or writeable again."""
        for array in self.values():
            array.flags.writeable = writeable


def _restore(arrays: Mapping[str, Array]) -> ParameterDict:
    return ParameterDict(arrays)


def uniform(
    shapes: Iterable[tuple[str, tuple[int, ...]]],
    bound: float,
    dtype: np.dtype[Any],
    seed: object,
) -> tuple[ParameterDict, np.random.Generator]:
    """Parameters drawn from U(-bound, bound), as torch's layers have them, and the generator."""
    generator = random_generator(seed)
    arrays = {
        name: generator.uniform(-bound, bound, _checks.parameter_shape(name, shape)).astype(dtype)
        for name, shape in shapes
    }
    return ParameterDict(arrays), generator


def normal(
    shapes: Iterable[tuple[str, tuple[int, ...]]], dtype: np.dtype[Any], seed: object
) -> ParameterDict:
    """Parameters drawn from N(0, 1)."""
    generator = random_generator(seed)
    return ParameterDict(
        {
            name: generator.standard_normal(_checks.parameter_shape(name, shape)).astype(dtype)
            for name, shape in shapes
        }
    )


def random_generator(seed: object) -> np.random.Generator:
    """NumPy's generator from a seed (None: from the system's entropy)."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(_checks.seed(seed))
