"""Checks of arguments. Each error names the argument, what came and what was expected."""

from __future__ import annotations

import math
import operator
import reprlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _pieces
from pyrnn._types import Array, Indices
from pyrnn.backend import selection

FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
"""The dtypes of layers, in the machine's byte order."""
MAX_ELEMENTS = 2**31 - 1
"""The largest number of elements of a single parameter (8 GiB of float32)."""
MAX_STEPS = 2**63 - 1
"""The largest number of steps of an optimiser: counts have 64 bits."""
MAX_LAYERS = 10_000
"""The largest number of layers. More must be a mistake, and would exhaust the memory."""
MAX_COUNT = 2**31 - 1
"""The largest number of time steps of a sequence."""
MAX_NUMBERS = 2**46
"""No machine has memory for more numbers; products of smaller sizes cannot overflow."""

_CORE = selection.native_module()
"""It makes some checks much faster, which matters in training steps of small models."""


def float_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Check a layer's dtype: float32 or float64, returned in the machine's byte order."""
    resolved = None
    if dtype is not None:  # NumPy reads None as float64
        try:
            resolved = np.dtype(dtype).newbyteorder("=")
        except Exception:  # np.dtype raises errors of many kinds
            resolved = None
    if resolved is None or resolved not in FLOATS:
        raise TypeError(f"dtype: expected 'float32' or 'float64', got {shown(dtype)}")
    return np.dtype(resolved.type)  # NumPy's only object for it, which `is` finds at once


def flag(name: str, value: object) -> bool:
    """Check True or False, of Python or of NumPy."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def string(name: str, value: object) -> str:
    """Check a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, got {shown(value)}")
    return value


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """Check that a value is one of several strings."""
    names = list(options)
    if not isinstance(value, str) or value not in names:
        listed = " or ".join([", ".join(map(repr, names[:-1])), repr(names[-1])])
        raise ValueError(f"{name}: expected {listed}, got {shown(value)}")
    return str(value)


MOST_STEPS = 1 << 31
"""More steps than any sequence has: the largest stride, dilation or padding."""


def size(name: str, value: object, least: int = 1, most: float = math.inf) -> int:
    """Check a whole number in [least, most]."""
    number = None
    if not isinstance(value, (bool, np.bool_)):
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except Exception:  # from the value's own __index__
            number = None
    if number is None:
        raise TypeError(f"{name}: expected a whole number, got {shown(value)}")
    if number < least:
        raise ValueError(
            f"{name}: expected a whole number of at least {least}, got {shown(number)}"
        )
    if number > most:
        raise ValueError(f"{name}: expected a whole number of at most {most}, got {shown(number)}")
    return number


def seed(value: object) -> int | None:
    """Check a seed: a whole number of at least 0, or None for a random start."""
    return None if value is None else size("seed", value, least=0)


LEAST_EPS = 2.0**-126
"""The least normal number of float32."""


def epsilon(name: str, value: object, zero: bool = True) -> float:
    """Check what is added to variances: no subnormal number, which counts as zero in the core."""
    number = finite_number(name, value, 0.0)
    if number < LEAST_EPS and not (zero and number == 0):
        or_zero = "0, or " if zero else ""
        raise ValueError(
            f"{name}: expected {or_zero}a number of at least {LEAST_EPS:.2g}, got {value!r}"
        )
    return number


def finite_number(name: str, value: object, low: float, high: float = math.inf) -> float:
    """Check a finite number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (low <= number <= high and math.isfinite(number)):
        raise ValueError(f"{name}: expected a number in [{low}, {high}], got {shown(value)}")
    return number


def shown(value: object) -> str:
    """Return a value as an error shows it: shortened if it is long, whatever its ``repr`` does."""
    try:
        if isinstance(value, str):
            text = repr(value[:80])
        else:
            text = reprlib.repr(value) if isinstance(value, (list, tuple, dict)) else repr(value)
        text = " ".join(text.split())
    except Exception:  # from the value's own __repr__; of an int, where it has too many digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def parameter_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Check a shape: its elements must fit into memory."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(
            f"{name}: expected at most {MAX_ELEMENTS} elements, got {shown(math.prod(shape))} "
            f"in shape {shown(shape)}"
        )
    return shape


def as_array(name: str, value: object) -> npt.NDArray[Any]:
    """Convert with `np.asarray` to an array of the base class; refuse masked elements."""
    if type(value) is np.ndarray:
        return value
    if hasattr(value, "batch_sizes") and hasattr(value, "sorted_indices"):
        raise TypeError(
            f"{name}: expected an array, got a PackedSequence; unpack it with {name}, lengths = "
            "pyrnn.pad_packed_sequence(packed), which has batch_first=, and give a recurrent "
            "layer lengths=lengths"
        )
    try:
        array = np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:
        kind = type(value).__name__
        raise TypeError(f"{name}: expected an array, got {kind}: {error}") from error
    _refuse_masks(name, value, array.ndim)
    return array


def _refuse_masks(name: str, value: object, depth: int) -> None:
    """Refuse masked elements of an array, or of arrays in a list: `np.asarray` drops the mask."""
    masked = sys.modules.get("numpy.ma")  # without it there is no masked array
    if masked is None:
        return
    if isinstance(value, masked.MaskedArray):
        if value.dtype.names is None and masked.is_masked(value):
            raise TypeError(
                f"{name}: expected an array without a mask, got a MaskedArray with masked "
                "elements; replace them with .filled(value)"
            )
    elif isinstance(value, (list, tuple)) and depth > 0:
        for part in value:
            _refuse_masks(name, part, depth - 1)


def float_array(
    name: str, value: object, dtype: np.dtype[Any], shape: tuple[int | str, ...] | None = None
) -> Array:
    """Check an array of exactly ``dtype`` and, if given, ``shape`` (a str matches any size)."""
    array = value if type(value) is np.ndarray else as_array(name, value)
    if array.dtype is not dtype and array.dtype != dtype:
        if array.dtype.newbyteorder("=") != dtype:
            raise TypeError(
                f"{name}: expected dtype {dtype}, got {_dtype_text(array, value)}"
                f"{_advice(name, array, value, dtype)}"
            )
        array = _pieces.copied(array, dtype)
    if not array.flags.aligned:
        array = _pieces.copied(array)
    if shape is not None and array.shape != shape and not _matches(array.shape, shape):
        raise ValueError(f"{name}: expected shape {shape_text(shape)}, got {array.shape}")
    return array


def any_float_array(name: str, value: object) -> Array:
    """Check a float32 or float64 array; return it aligned and in the machine's byte order."""
    array = as_array(name, value)
    if array.dtype in FLOATS and array.flags.aligned:
        return array
    dtype = array.dtype.newbyteorder("=")
    if dtype not in FLOATS:
        raise TypeError(f"{name}: expected float32 or float64, got {_dtype_text(array, value)}")
    return _pieces.copied(array, dtype)


def is_live(value: object) -> bool:
    """Return whether a backend can change this array in place: a plain float32 or float64 array.

    Subclasses are excluded, because they may compute differently, as ``np.matrix`` does.
    """
    return type(value) is np.ndarray and value.dtype in FLOATS and value.flags.carray


def fit(parameters: list[Array], gradients: list[Array]) -> bool:
    """Return whether a backend can change the parameters in place by gradients of the same kind.

    No parameter may share memory with another one or with a gradient. ``gradients`` may be the same
    list as ``parameters``.
    """
    if _CORE is not None:
        return bool(_CORE.fit(parameters, gradients))
    return (
        len(parameters) == len(gradients)
        and all(
            is_live(p) and is_live(g) and g.dtype == p.dtype and g.shape == p.shape
            for p, g in zip(parameters, gradients, strict=True)
        )
        and not overlapping(dict(enumerate(parameters)))
        and (parameters is gradients or not any(shares(g, parameters) for g in gradients))
    )


def shares(array: Array, others: Iterable[Array]) -> bool:
    """Return whether a contiguous array shares memory with one of other contiguous arrays."""
    return any(np.may_share_memory(array, other) for other in others)


def overlapping(arrays: Mapping[Any, Array]) -> tuple[Any, Any] | None:
    """Return the names of two contiguous arrays that share memory, or None."""
    # In the order of their addresses, an array that overlaps any earlier one overlaps the earlier
    # one with the highest end.
    begins = {name: array.__array_interface__["data"][0] for name, array in arrays.items()}
    farthest, end = None, -1
    for name in sorted((n for n, array in arrays.items() if array.size), key=begins.__getitem__):
        if begins[name] < end:
            return farthest, name
        if begins[name] + arrays[name].nbytes > end:
            farthest, end = name, begins[name] + arrays[name].nbytes
    return None


def live_float_arrays(where: str, arrays: Mapping[str, Any]) -> dict[str, Array]:
    """Check each array with `live_float_array`, and that no two share memory."""
    checked = {name: live_float_array(f"{where}[{name!r}]", a) for name, a in arrays.items()}
    pair = overlapping(checked)
    if pair is not None:
        raise ValueError(
            f"{where}: expected arrays that share no memory, got {pair[0]!r} and {pair[1]!r} "
            "that do; each would be changed twice"
        )
    return checked


def live_float_array(name: str, value: object) -> Array:
    """Check a float32 or float64 array that a backend can change in place."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(value).__name__}")
    if value.dtype not in FLOATS:
        raise TypeError(f"{name}: expected float32 or float64, got {value.dtype}")
    if not (value.flags.c_contiguous and value.flags.aligned):
        raise ValueError(
            f"{name}: expected a contiguous array, which can be changed in place; got a view with "
            f"strides {value.strides}"
        )
    return as_array(name, value)


def output_array(
    name: str, value: object, dtype: np.dtype[Any], shape: tuple[int | str, ...]
) -> Array:
    """Check an array that a result of that dtype and shape is to be written into."""
    array = float_array(name, live_float_array(name, value), dtype, shape)
    if not array.flags.writeable:
        raise ValueError(f"{name}: expected an array that can be written to, got a read-only one")
    return array


def index_array(name: str, value: object, count: int) -> Indices:
    """Check an integer array of values in [0, count); return a copy as ``intp``.

    A copy, because another thread could change an index between this check and its use.
    """
    array = as_array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected an integer array, got {_dtype_text(array, value)}")
    indices: Indices = _pieces.copied(array, np.intp)
    if not _all_below(indices, count):
        low, high = array.min(), array.max()
        wrong = low if low < 0 else high
        raise ValueError(f"{name}: expected indices in [0, {count}), got {wrong}")
    return indices


def rows(array: Array) -> Array:
    """Return the array as contiguous rows, (M, columns)."""
    return _pieces.dense(array).reshape(-1, array.shape[-1])


def shape_text(shape: tuple[int | str, ...]) -> str:
    """Return a shape as text: ``(T, N, 4)``."""
    return f"({', '.join(str(n) for n in shape)}{',' if len(shape) == 1 else ''})"


def _matches(shape: tuple[int, ...], expected: tuple[int | str, ...]) -> bool:
    return len(shape) == len(expected) and all(
        isinstance(e, str) or n == e for n, e in zip(shape, expected, strict=True)
    )


def _all_below(indices: Indices, count: int) -> bool:
    """Return whether all indices are in [0, count)."""
    if _CORE is not None:
        return bool(_CORE.all_below(indices, count))
    # Read as unsigned, a negative index is larger than any count.
    return not indices.size or bool(indices.view(np.uintp).max() < count)


def _dtype_text(array: npt.NDArray[Any], value: object) -> str:
    if array.dtype == object and not isinstance(value, np.ndarray):
        return f"{type(value).__name__} (object array)"
    return str(array.dtype)


def _advice(name: str, array: npt.NDArray[Any], value: object, dtype: np.dtype[Any]) -> str:
    """Return advice on how to convert real numbers of another dtype."""
    if array.dtype.kind not in "biuf":
        return ""
    plain = name.isidentifier()
    if isinstance(value, np.ndarray):
        advice = f"; use {name if plain else ''}.astype(np.{dtype})"
    else:
        advice = f"; use np.asarray({name if plain else '...'}, dtype=np.{dtype})"
    if plain and dtype == np.float32 and array.dtype == np.float64:
        advice += ", or a layer with dtype='float64'"
    return advice
