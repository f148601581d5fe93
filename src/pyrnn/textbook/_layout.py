"""Convert between the articles' arrays, one column per example, and the core's rows.

It also has the checks of arguments whose sizes are named by letters, as in the articles.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._types import Array

Shape = tuple["str | int", ...]
"""Sizes by letter, e.g. ``("n_a", "n_x")``; in ``"n_a + n_x"`` only the last letter may be new."""


def flip(array: Array) -> Array:
    """Turn (features, m) into (m, features), (features, m, T) into (T, m, features), and back.

    The result is always a copy: caches and results share no memory with a backend's arrays.
    """
    return np.array(array.T, order="C")


def parameter_arrays(
    parameters: Mapping[str, npt.ArrayLike], names: Sequence[str]
) -> dict[str, npt.ArrayLike]:
    """Look these parameters up. The error names a missing one."""
    if not isinstance(parameters, Mapping):
        raise TypeError(
            f"parameters: expected a dict with {', '.join(names)}, got {type(parameters).__name__}"
        )
    for name in names:
        if name not in parameters:
            raise KeyError(
                f"parameters: {name} is missing; expected {', '.join(names)}, "
                f"got {', '.join(map(str, parameters)) or 'none'}"
            )
    return {name: parameters[name] for name in names}


def arguments(
    given: Mapping[str, tuple[npt.ArrayLike, Shape]],
    parameters: Mapping[str, npt.ArrayLike],
    shapes: Mapping[str, Shape],
) -> dict[str, Array]:
    """Check arguments, each with its shape, and the parameters that ``shapes`` names."""
    values = {name: value for name, (value, _) in given.items()}
    expected = {name: shape for name, (_, shape) in given.items()}
    named = parameter_arrays(parameters, tuple(shapes))
    # The parameters are checked first, so that an argument that does not fit them is blamed.
    try:
        return checked(values | named, dict(shapes) | expected)
    except ValueError as error:
        for one, other in itertools.combinations(values, 2):
            if _fits_swapped(values | named, dict(shapes) | expected, one, other):
                raise ValueError(f"{error}; are {one} and {other} swapped?") from None
        raise


def check_unchanged(name: str, states: Array, cached: Sequence[Array], what: str) -> None:
    """Compare states computed again (T, m, n) with those (n, m) that the caches hold.

    Caches may come from another backend or from a reader's own forward pass, which round
    otherwise, and a forward pass in float32 may be followed by a gradient in float64.
    """
    for t, (again, state) in enumerate(zip(states, cached, strict=True)):
        known = _checks.as_array(name, state)
        narrow = np.float32 in (known.dtype, states.dtype)
        tolerance = 1e-3 if narrow else 1e-8
        if known.shape == again.T.shape and not np.allclose(
            known, again.T, rtol=tolerance, atol=tolerance, equal_nan=True
        ):
            raise ValueError(
                f"{name}: expected the {what} that follows from the other parts of step {t}'s "
                "cache, got another one; were the parameters changed after the forward pass?"
            )


def _fits_swapped(
    values: Mapping[str, npt.ArrayLike], shapes: Mapping[str, Shape], one: str, other: str
) -> bool:
    """Whether all shapes fit if these two arguments change places."""
    if shapes[one] == shapes[other]:
        return False
    try:
        checked({**values, one: values[other], other: values[one]}, shapes)
    except (TypeError, ValueError):
        return False
    return True


def checked(values: Mapping[str, npt.ArrayLike], shapes: Mapping[str, Shape]) -> dict[str, Array]:
    """Bring arrays to one dtype and check that their shapes fit together.

    The dtype is NumPy's for mixed operands: float32 only if every float array is. Integers, such as
    one-hot columns, are converted.
    """
    arrays = _one_dtype({name: values[name] for name in shapes})
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        _check_shape(name, arrays[name], shape, sizes)
    return arrays


def float_array(name: str, value: npt.ArrayLike) -> Array:
    """Check a single array: float32 stays float32, float64 and integers become float64."""
    return _one_dtype({name: value})[name]


def unpack(name: str, value: Any, parts: Sequence[str]) -> tuple[Any, ...]:
    """Return the parts of a cache, which is one of the articles' tuples."""
    expected = f"{name}: expected the tuple ({', '.join(parts)})"
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{expected}, got {type(value).__name__}")
    if len(value) != len(parts):
        raise ValueError(f"{expected}, got {len(value)} values")
    return tuple(value)


def cell_caches(caches: Any, parts: Sequence[str], states: int, steps: int) -> list[Any]:
    """Return the first ``steps`` cell caches, checked to come from one forward pass.

    ``parts`` names the parts of a cell cache: the states after the step, the same states before it,
    the input, and the parameters.
    """
    cells, _ = unpack("caches", caches, ("list of cell caches", "x"))
    if not isinstance(cells, (tuple, list)):
        raise TypeError(f"caches[0]: expected a list of cell caches, got {type(cells).__name__}")
    if not 1 <= steps <= len(cells):
        raise ValueError(f"da: expected 1 to {len(cells)} steps, as in caches, got {steps}")
    found = [unpack(f"caches[0][{t}]", cells[t], parts) for t in range(steps)]
    for t in range(1, steps):
        for after, before in zip(found[t - 1][:states], found[t][states : 2 * states], strict=True):
            if before is not after and not np.array_equal(before, after, equal_nan=True):
                raise ValueError(
                    f"caches[0][{t}]: expected the state after step {t - 1}, got another one; all "
                    "cell caches must come from one forward pass"
                )
        if not _same_parameters(found[0][-1], found[t][-1]):
            raise ValueError(f"caches[0][{t}]: its parameters are not those of step 0")
    return found


def stacked_inputs(cells: Sequence[Any], position: int) -> Array:
    """Stack the inputs (n_x, m), at this position of each cell cache, to (n_x, m, T)."""
    inputs = [
        _checks.as_array(f"caches[0][{t}]'s xt", cell[position]) for t, cell in enumerate(cells)
    ]
    for t, array in enumerate(inputs):
        if array.shape != inputs[0].shape:
            raise ValueError(
                f"caches[0][{t}]: expected xt of shape {inputs[0].shape} as in step 0, "
                f"got {array.shape}"
            )
    return np.stack(inputs, axis=-1)


def steps_of(name: str, value: npt.ArrayLike) -> int:
    """Return T of an array (features, m, T)."""
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], (tuple, list)):
        raise TypeError(
            f"{name}: expected an array (n_a, m, T), got {type(value).__name__}; are {name} and "
            "caches swapped?"
        )
    array = _checks.as_array(name, value)
    if array.ndim != 3:
        raise ValueError(f"{name}: expected shape (n_a, m, T), got {array.shape}")
    return int(array.shape[2])


def _same_parameters(first: Any, other: Any) -> bool:
    return first is other or (
        isinstance(first, Mapping)
        and isinstance(other, Mapping)
        and first.keys() == other.keys()
        and all(np.array_equal(first[name], other[name], equal_nan=True) for name in first)
    )


def _one_dtype(values: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    arrays = {name: _real_array(name, value) for name, value in values.items()}
    floats = [array.dtype for array in arrays.values() if array.dtype.kind == "f"]
    dtype = np.result_type(*floats) if floats else np.dtype(np.float64)
    dtype = dtype.newbyteorder("=")
    return {name: np.asarray(array, dtype=dtype, order="C") for name, array in arrays.items()}


def _real_array(name: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
    array = _checks.as_array(name, value)
    if array.dtype.kind not in "biu" and array.dtype.newbyteorder("=") not in _checks.FLOATS:
        raise TypeError(f"{name}: expected an array of float32 or float64, got {array.dtype}")
    return array


def _check_shape(name: str, array: Array, shape: Shape, sizes: dict[str, int]) -> None:
    """Compare with the sizes of the letters; a new letter takes its size from this array."""
    expected = _checks.shape_text(shape)
    if array.ndim == len(shape):
        for letter, size in zip(shape, array.shape, strict=True):
            if isinstance(letter, str):
                known, _, new = letter.rpartition(" + ")
                sizes.setdefault(new, size - (sizes[known] if known else 0))
        wanted = tuple(_size(letter, sizes) for letter in shape)
        if array.shape == wanted:
            if min(sizes.values(), default=1) >= 1:
                return
            expected += " with sizes of at least 1"
        else:
            expected += f" = {_checks.shape_text(wanted)}"
    hint = ""
    if array.ndim == 1 and len(shape) == 2:
        hint = _hint(name, shape)
    raise ValueError(f"{name}: expected shape {expected}, got {array.shape}{hint}")


def _hint(name: str, shape: Shape) -> str:
    """How a vector becomes an array: biases, examples as rows (N, ...), examples as columns."""
    if shape[1] == 1:
        return f"; a vector becomes a column with {name}[:, None]"
    if shape[0] == "N":
        return f"; one example becomes a row with {name}[None]"
    return f"; one example becomes a column with {name}[:, None]"


def _size(letter: str | int, sizes: Mapping[str, int]) -> int:
    if isinstance(letter, int):
        return letter
    return sum(sizes[part] for part in letter.split(" + "))
