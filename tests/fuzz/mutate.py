"""Spoils one argument of a case: a wrong shape, dtype, type, size, value or key.

What comes out may still be right (True for 1, another order of bytes); then the answer has to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import pyrnn
from tests.fuzz.draw import Draw

HUGE = (2**31 + 1, 2**40, 2**63, 10**30)
REPEATED = {
    "steps", "epochs", "length", "seq_length", "num_calls", "repeats", "samples", "embedding_dim",
}  # fmt: skip
"""Counts of what is done: a huge one would be right, and take forever."""
GROUPS = ("options", "weights", "parameters of a cell", "trainer", "fit", "chosen")
"""Dicts that are handed over entry by entry, not as arguments of their own."""
WRONG_DTYPES = (
    "float16", "float32", "float64", "longdouble", "complex64", "int64", "bool", "uint8", "O", "U5",
    "datetime64[s]", "V8",
)  # fmt: skip
PACKED = pyrnn.pack_sequence([np.ones((2, 3)), np.ones((1, 3))])
STRANGE = (
    None,
    "x",
    b"x",
    "",
    1.5,
    float("nan"),
    3,
    -1,
    True,
    (),
    [],
    {},
    set(),
    object,
    ...,
    1j,
    PACKED,
)


def mutate(draw: Draw, arguments: dict[str, Any]) -> str:
    """Spoil one argument in place; returns the path of it."""
    path: list[str] = []
    container: Any = arguments
    while True:
        keys = [key for key in container if key != "seed" and (key not in GROUPS or container[key])]
        if not keys:
            return ".".join(path) or "nothing"
        key = draw.choice(keys)
        value = container[key]
        path.append(str(key))
        if isinstance(value, dict) and value and (key in GROUPS or draw.chance(0.9)):
            container = value
            continue
        if isinstance(value, (tuple, list)) and value and draw.chance(0.5):
            index = draw.integer(0, len(value) - 1)
            parts = list(value)
            parts[index] = wrong(draw, str(key), parts[index])
            container[key] = type(value)(parts) if type(value) in (tuple, list) else parts
        elif container is not arguments and draw.chance(0.1):
            _spoil_keys(draw, container, key)
        else:
            container[key] = wrong(draw, str(key), value)
        return ".".join(path)


def _spoil_keys(draw: Draw, container: dict[str, Any], key: Any) -> None:
    """A key that is missing, or one too many. Those of options are Python's own to refuse."""
    if all(isinstance(value, (np.ndarray, float)) for value in container.values()):
        if draw.chance(0.5):
            del container[key]
        else:
            container[draw.choice(("unknown", "weight_xy_l0"))] = container[key]
    else:
        container[key] = wrong(draw, str(key), container[key])


def wrong(draw: Draw, name: str, value: Any) -> Any:
    """Something that should probably not stand where this value stands."""
    if draw.chance(0.15):
        return draw.choice(STRANGE)
    for kinds, spoil in _SPOILERS:
        if isinstance(value, kinds):
            return spoil(draw, name, value)
    return draw.choice(STRANGE)


def _wrong_bool(draw: Draw, name: str, value: bool) -> Any:
    return draw.choice((not value, int(value), np.bool_(value), "yes", None, np.array([1, 0]), 2))


def _wrong_integer(draw: Draw, name: str, value: int) -> Any:
    value = max(-(2**100), min(value, 2**100))  # it may be wrong, and beyond any float, already
    plain = (
        0,
        -1,
        value + 1,
        value - 1,
        -(2**63),
        float(value),
        np.int8(max(-100, min(value, 100))),
        None,
    )
    odd = (np.array(value), np.array([value]), str(value), True, float("nan"), np.float32(value))
    huge = () if name in REPEATED else HUGE
    return draw.choice((*plain, *odd, *huge))


def _wrong_float(draw: Draw, name: str, value: float) -> Any:
    try:
        value = min(float(value), 1e30)
    except OverflowError:  # an int that was wrong already
        value = 1e30
    return draw.choice(
        (float("nan"), float("inf"), -value, -1.0, 2.0, 1e400, 1, str(value), np.float32(value),
         np.array(value), np.array([value, value]), None, True, 1 + 0j, 10**400, 5e-324)
    )  # fmt: skip


def _wrong_text(draw: Draw, name: str, value: str) -> Any:
    return draw.choice(
        (
            value + "x",
            value[:-1],
            value.upper(),
            value.encode(errors="replace"),
            "",
            None,
            3,
            [value],
            "\ufffd\0",
        )
    )


def _wrong_mapping(draw: Draw, name: str, value: Mapping[Any, Any]) -> Any:
    return draw.choice(
        ({}, list(value), list(value.items()), list(value.values()), None, {"x": np.ones(2)})
    )


def _wrong_sequence(draw: Draw, name: str, value: Any) -> Any:
    parts = list(value)
    forms: tuple[Callable[[], Any], ...] = (
        lambda: parts[:-1],
        lambda: parts + parts[-1:],
        lambda: tuple(parts),
        lambda: set(map(str, parts)),
        lambda: dict(enumerate(parts)),
        lambda: [parts],
        lambda: iter(parts),
        lambda: parts[0] if parts else None,
    )
    return draw.choice(forms)()


def _wrong_array(draw: Draw, name: str, value: Any) -> Any:
    array = np.array(value)
    return draw.choice((_wrong_dtype, _wrong_shape, _wrong_shape, _wrong_content))(draw, array)


def _wrong_dtype(draw: Draw, array: np.ndarray) -> Any:
    name = draw.choice(WRONG_DTYPES)
    dtype = np.dtype(draw.dtype if name == draw.drawn_dtype else name)
    with np.errstate(all="ignore"):
        if array.dtype.kind not in "biufc":
            return array
        plain = np.nan_to_num(array.real.astype(np.float64), posinf=1e30, neginf=-1e30)
        if dtype.kind in "iuMV":
            plain = np.clip(plain, 0, 100).astype(np.int64)
        return np.zeros(array.shape, dtype) if dtype.kind == "V" else plain.astype(dtype)


def _wrong_shape(draw: Draw, array: np.ndarray) -> Any:
    forms = ["more", "scalar"]
    if array.ndim:
        forms += ["zero", "shorter", "longer", "flat", "first", "last", "turned", "double"]
    form = draw.choice(forms)
    axis = draw.integer(0, max(array.ndim - 1, 0))
    made: dict[str, Callable[[], Any]] = {
        "more": lambda: array[None],
        "scalar": lambda: np.zeros((), array.dtype),
        "zero": lambda: array.take([], axis),
        "shorter": lambda: array.take(range(max(array.shape[axis] - 1, 0)), axis),
        "longer": lambda: np.repeat(array, 2, axis) if array.shape[axis] == 1
        else np.concatenate([array, array.take([0], axis)], axis) if array.shape[axis] else array,
        "double": lambda: np.concatenate([array, array], axis),
        "flat": lambda: array.reshape(-1),
        "first": lambda: array[0] if len(array) else array[None],
        "last": lambda: array[..., 0] if array.shape[-1] else array[..., None],
        "turned": lambda: array.T,
    }  # fmt: skip
    return made[form]()


def _wrong_content(draw: Draw, array: np.ndarray) -> Any:
    """Numbers out of range, or the numbers in a list."""
    if draw.chance(0.3):
        return array.tolist()
    array = array.copy()
    if array.size:
        flat = array.reshape(-1)
        place = draw.integer(0, flat.size - 1)
        if array.dtype.kind in "iu":
            limits = np.iinfo(array.dtype)
            flat[place] = draw.choice((0, limits.min, limits.max, int(flat.max()) // 2 + 1))
        elif array.dtype.kind == "f":
            flat[place] = draw.choice((np.nan, np.inf, -np.inf, 0.0))
    return array


_SPOILERS: tuple[tuple[Any, Callable[[Draw, str, Any], Any]], ...] = (
    (bool, _wrong_bool),
    (int, _wrong_integer),
    (float, _wrong_float),
    (str, _wrong_text),
    (Mapping, _wrong_mapping),
    ((tuple, list), _wrong_sequence),
    (np.ndarray, _wrong_array),
)
