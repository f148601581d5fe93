"""How arrays that will be changed later are pickled and copied.

An array that NumPy unpickles may be a view of the pickled bytes, of a buffer out of band or of a
file (joblib's ``mmap_mode``): it cannot be made writeable, or writing would change the file. So
such arrays are unpickled as copies. An array that several objects of one pickle share, for example
a layer and its optimiser, is unpickled as one array.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from pyrnn._locks import fork_safe_lock
from pyrnn._types import Array

Self = TypeVar("Self", bound="Portable")
Named = TypeVar("Named", bound=Callable[..., Any])


def public(module: str, name: str | None = None) -> Callable[[Named], Named]:
    """Let pickles name a class or function by the module in which users find it.

    So pickles still load after modules have moved. ``name`` is its name there, if it differs: with
    an underscore if only pickles use it.
    """

    def rename(thing: Named) -> Named:
        thing.__module__ = module
        if name is not None:
            thing.__name__ = thing.__qualname__ = name
        return thing

    return rename


class PickledArray:
    """Replaces an array in a pickle or a deep copy; loading turns it into an array again."""

    __slots__ = ("__weakref__", "_array")

    def __init__(self, array: Array) -> None:
        self._array = array

    def __reduce__(self) -> Any:
        return own_array, (self._array,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Array:
        return copy.deepcopy(self._array, memo)


# A pickle knows the objects that it has had already by what they are. So there is one for an array
# as long as a pickle is being made, which keeps it; it keeps the array, so that the id is right.
_OF_ARRAYS: weakref.WeakValueDictionary[int, PickledArray] = weakref.WeakValueDictionary()
_LOCK = fork_safe_lock()


def pickled(array: Array) -> PickledArray:
    """Return what replaces an array in a pickled state."""
    with _LOCK:
        found = _OF_ARRAYS.get(id(array))
        if found is None:
            found = _OF_ARRAYS[id(array)] = PickledArray(array)
        return found


def pickled_all(arrays: Mapping[str, Array]) -> dict[str, PickledArray]:
    """`pickled` of each array."""
    return {name: pickled(array) for name, array in arrays.items()}


@public("pyrnn", "_own_array")
def own_array(array: Array) -> Array:
    """Return a plain, writeable copy in new memory, in the machine's byte order."""
    plain = array.dtype.kind in "biufc"
    return np.array(array, dtype=array.dtype.char if plain else None, copy=True, subok=False)


class Portable:
    """A base class whose copies and pickles share nothing with the original.

    `copy.copy` is `copy.deepcopy`. Attributes that are arrays are copied, also those of a subclass
    or of the user.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: pickled(value) if type(value) is np.ndarray else value
            for name, value in self.__dict__.items()
        }

    def __copy__(self: Self) -> Self:
        return copy.deepcopy(self)
