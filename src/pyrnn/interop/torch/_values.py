"""From the records of the pickle machine to dicts, lists and arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyrnn._pickling import public
from pyrnn.interop.torch._archive import Contents, storage_of
from pyrnn.interop.torch._errors import FormatError
from pyrnn.interop.torch._machine import Made, Name, Persistent, key_of
from pyrnn.interop.torch._storages import ALIASES

MOST_LEVELS = 120
"""How deeply dicts may be nested; a module within a module takes three levels. Each level takes
up to seven calls, of which Python has 1000."""
MOST_REPEATED = 1_000_000
"""The largest number of entries, with objects that occur several times counted each time."""


@public("pyrnn.interop.torch")
class Placeholder(dict[str, Any]):
    """An object whose class was not imported: a dict of its attributes.

    Parameters
    ----------
    kind : str
        The full name of the class or function that the file names; an attribute as well.
    arguments : object
        The arguments with which it would have been called, usually an empty tuple; an attribute as
        well.
    attributes : dict
        The attributes of the object, by name.

    Examples
    --------
    >>> from pyrnn.interop.torch import Placeholder
    >>> module = Placeholder("my.Model", (), {"hidden_size": 8})
    >>> module.kind, module["hidden_size"]
    ('my.Model', 8)
    """

    def __init__(self, kind: str, arguments: Any, attributes: dict[str, Any]) -> None:
        super().__init__(attributes)
        self.kind = kind
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"<{self.kind} {super().__repr__()}>"


class _Done(NamedTuple):
    """A converted object: how many levels are in it, how many entries if all are counted."""

    value: Any
    levels: int
    entries: int


_PLAIN = (str, int, float, bool, bytes, type(None))


def values(contents: Contents) -> Any:
    """The object of a file, of plain Python types, arrays and `Placeholder`.

    Raises
    ------
    FormatError
        If it contains itself or is nested too deep, or a tensor does not fit its storage.
    """
    try:
        return _Converter(contents).convert(contents.value).value
    except RecursionError:  # the caller has taken most of the calls
        raise FormatError("its objects are nested too deeply") from None


class _Converter:
    """Converts each object once, so that what was one object is one again."""

    def __init__(self, contents: Contents) -> None:
        self._storages = contents.storages
        self._widened = 0
        self._unnamed = 0
        self._most = MOST_REPEATED + contents.pickle_bytes
        self._done: dict[int, _Done] = {}
        self._kept: list[Any] = []  # so that no other object gets the id of one that is done
        self._open: set[int] = set()
        self._depth = 0
        self._levels = [0]
        self._entries = [0]

    def convert(self, value: Any) -> _Done:
        if type(value) in _PLAIN:
            return _Done(value, 0, 1)
        key = id(value)
        done = self._done.get(key)
        if done is None:
            if key in self._open:
                raise FormatError("it has an object that contains itself")
            self._depth += 1
            self._check_levels(0)
            self._open.add(key)
            self._levels.append(0)
            self._entries.append(1)
            converted = self._converted(value)
            done = _Done(converted, self._levels.pop() + 1, self._entries.pop())
            self._open.remove(key)
            self._depth -= 1
            self._done[key] = done
            self._kept.append(value)
        self._check_levels(done.levels)
        if done.entries > self._most:
            raise FormatError("it contains the same objects too often")
        return done

    def _check_levels(self, inside: int) -> None:
        if self._depth + inside > MOST_LEVELS:
            raise FormatError(f"its objects are nested deeper than {MOST_LEVELS} levels")

    def of(self, value: Any) -> Any:
        """A part of the object that is being converted."""
        if type(value) in _PLAIN:
            self._entries[-1] += 1
            return value
        done = self.convert(value)
        self._levels[-1] = max(self._levels[-1], done.levels)
        self._entries[-1] += done.entries
        return done.value

    def _converted(self, value: Any) -> Any:
        kind = type(value)
        if kind is dict:
            return self.dictionary(value.items())
        if kind is list:
            return [self.of(item) for item in value]
        if kind is tuple:
            return tuple([self.of(item) for item in value])
        if kind in (set, frozenset):
            return {self.key(item) for item in value}
        if kind is Name:
            return str(value)
        if kind is Persistent:
            return self._outside(value.identity)
        return self._made(value)

    def dictionary(self, pairs: Any) -> dict[Any, Any]:
        return {self.key(key): self.of(value) for key, value in pairs}

    def key(self, key: Any) -> Any:
        """A key of a dict; names are strings here, and objects have a number in place of a name."""
        converted = self.of(key)
        if type(key) is Made and type(converted) not in _PLAIN:
            self._unnamed += 1
            return f"({type(converted).__name__} {self._unnamed})"
        return key_of(converted)

    def _outside(self, identity: Any) -> Any:
        """A storage on its own, or the class of a module that came with its source."""
        if type(identity) is tuple and identity[:1] == ("module",) and len(identity) > 1:
            return self.of(identity[1])
        storage = storage_of(identity)
        return self.tensor(storage, storage.dtype or "uint8", 0, (storage.size,), (1,))

    def _made(self, made: Made) -> Any:
        if type(made.by) is Name:
            maker = _MAKERS.get(str(made.by))
            if maker is not None:
                found = maker(self, made)
                if found is not None:
                    return found
        return self._placeholder(made)

    def _placeholder(self, made: Made) -> Placeholder:
        attributes: dict[str, Any] = {}
        for state in made.states:
            for part in state if type(state) is tuple and len(state) == 2 else (state,):
                if type(part) is dict:
                    attributes |= {str(k): v for k, v in self.dictionary(part.items()).items()}
                elif part is not None:
                    attributes["state"] = self.of(part)
        attributes |= {str(self.key(key)): self.of(value) for key, value in made.entries}
        if made.members:
            attributes["members"] = [self.of(item) for item in made.members]
        kind = self.of(made.by)
        return Placeholder(
            kind if type(kind) is str else "object", self.of(made.arguments), attributes
        )

    def count_widened(self, numbers: int) -> None:
        """Numbers that become floats in memory of their own: no more than the file has bytes."""
        self._widened += numbers
        if self._widened > self._storages.bytes_read + MOST_REPEATED:
            raise FormatError("it has the same quantised tensor too often")

    def tensor(self, storage: Any, dtype: str, offset: Any, shape: Any, strides: Any) -> Any:
        for numbers in ((offset,), shape, strides):
            if type(numbers) is not tuple or not all(type(n) is int for n in numbers):
                raise FormatError("it has a tensor whose sizes are not whole numbers")
        return self._storages.tensor(storage, dtype, offset, shape, strides)


# --- what may be made -----------------------------------------------------------------------

_Maker = Callable[[_Converter, Made], Any]
"""Gives None for what it does not know; that becomes a `Placeholder`."""


def _arguments(made: Made, least: int) -> tuple[Any, ...]:
    if type(made.arguments) is not tuple or len(made.arguments) < least:
        raise FormatError(f"it calls {made.by} with too few arguments")
    return made.arguments


def _ordered_dict(converter: _Converter, made: Made) -> Any:
    pairs: list[Any] = []
    if type(made.arguments) is tuple and made.arguments and type(made.arguments[0]) is list:
        pairs = made.arguments[0]
        if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            raise FormatError("it has an OrderedDict of something other than pairs")
    return converter.dictionary([*pairs, *made.entries])


def _set(converter: _Converter, made: Made) -> Any:
    members = _arguments(made, 0)[:1] or ([],)
    if type(members[0]) not in (list, tuple):
        return None
    return {converter.key(member) for member in [*members[0], *made.members]}


def _size(converter: _Converter, made: Made) -> Any:
    sizes = converter.of(_arguments(made, 1)[0])
    return tuple(sizes) if type(sizes) in (list, tuple) else None


def _device(converter: _Converter, made: Made) -> Any:
    return ":".join(str(converter.of(part)) for part in _arguments(made, 1))


def _encoded(converter: _Converter, made: Made) -> Any:
    """How protocol 2 writes bytes."""
    text, *encoding = _arguments(made, 1)
    if type(text) is not str or encoding not in (["latin1"], ["latin-1"]):
        return None
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise FormatError("it has bytes beyond 255") from None


def _tensor(converter: _Converter, made: Made) -> Any:
    stored, offset, shape, strides = _arguments(made, 4)[:4]
    if type(stored) is not Persistent:
        raise FormatError("it has a tensor without a storage")
    storage = storage_of(stored.identity)
    dtype = storage.dtype
    if made.by.name == "_rebuild_tensor_v3":
        name = getattr(_arguments(made, 7)[6], "name", "")
        dtype = ALIASES.get(name, name)
    shape = shape if type(shape) is tuple else converter.of(shape)  # a torch.Size
    tensor = converter.tensor(storage, dtype or "uint8", offset, shape, strides)
    return _resolved(converter, made, tensor)


def _resolved(converter: _Converter, made: Made, tensor: Any) -> Any:
    """A tensor of numbers that are stored with the other sign, or as their conjugates."""
    more = made.arguments[7 if made.by.name == "_rebuild_tensor_v3" else 6 :]
    bits = more[0] if more and type(more[0]) is dict else {}
    for name, function in (("conj", np.conjugate), ("neg", np.negative)):
        if bits.get(name) is True and tensor.dtype.kind in "fc":
            converter.count_widened(tensor.size)
            tensor = function(tensor)
    return tensor


def _quantized_tensor(converter: _Converter, made: Made) -> Any:
    """A tensor of 8 bits or more as the float32 numbers that it stands for."""
    whole = _tensor(converter, made)
    scheme, *numbers = _scheme(converter.of(_arguments(made, 5)[4]))
    if whole.dtype.kind not in "iu":
        raise FormatError("it has a quantised tensor that is not of whole numbers")
    converter.count_widened(whole.size)
    if scheme == "torch.per_tensor_affine" and len(numbers) == 2:
        scale, zero = numbers
        if type(scale) is not float or type(zero) is not int:
            raise FormatError("it has a quantised tensor whose scale is no number")
        return _dequantized(whole, np.float64(scale), np.int64(zero))
    if not scheme.startswith("torch.per_channel_affine") or len(numbers) != 3:
        raise FormatError(f"it has a tensor quantised by {scheme[:80]!r}")
    scale, zero, axis = numbers
    fits = type(axis) is int and 0 <= axis < whole.ndim
    parts = [p for p in (scale, zero) if type(p) is np.ndarray and p.dtype.kind in "fiu"]
    if not fits or len(parts) < 2 or any(p.shape != whole.shape[axis : axis + 1] for p in parts):
        raise FormatError("it has a quantised tensor whose scales do not fit its channels")
    along = (-1, *(1,) * (whole.ndim - axis - 1))
    return _dequantized(whole, *(p.astype(np.float64).reshape(along) for p in parts))


def _scheme(found: Any) -> tuple[Any, ...]:
    """How a tensor is quantised, by its name, and its numbers."""
    if type(found) is not tuple or not found or type(found[0]) is not str:
        raise FormatError("it has a quantised tensor that does not say how")
    return found


def _dequantized(whole: Any, scale: Any, zero: Any) -> Any:
    """(q - zero point) * scale, rounded once to float32, as torch has them."""
    with np.errstate(all="ignore"):
        return ((whole - zero).astype(np.float32) * np.asarray(scale, np.float32)).astype("f4")


def _packed(converter: _Converter, made: Made) -> Any:
    """An object of torch's C++ code: what it would have been made of, and its class."""
    state = made.states[-1] if made.states else None
    if type(state) is not tuple or len(state) != 2 or type(state[1]) is not str:
        return None
    return Placeholder(state[1], (), {"state": converter.of(state[0])})


def _parameter(converter: _Converter, made: Made) -> Any:
    return converter.of(_arguments(made, 1)[0])


def _of_type(converter: _Converter, made: Made) -> Any:
    """A tensor of a subclass, or one with attributes of its own, which are left out."""
    by, _, arguments, *_ = _arguments(made, 3)
    return converter.of(Made(by, arguments)) if type(by) is Name else None


_NUMPY_CODE = re.compile("[biufc](1|2|4|8|16)")


def _numpy_dtype(value: Any) -> np.dtype[Any] | None:
    """A plain dtype; None for any other."""
    if type(value) is not Made or str(value.by) != "numpy.dtype":
        return None
    code = _arguments(value, 1)[0]
    if type(code) is not str or not _NUMPY_CODE.fullmatch(code):
        return None
    state = value.states[-1] if value.states else ()
    order = state[1] if type(state) is tuple and len(state) > 1 else "="
    try:
        return np.dtype(f"{order if order in ('<', '>') else '='}{code}")
    except TypeError:
        return None


def _numpy_scalar(converter: _Converter, made: Made) -> Any:
    kind, data = _arguments(made, 2)[:2]
    dtype, data = _numpy_dtype(kind), _raw(converter, data)
    if dtype is None or data is None:
        return None
    if len(data) != dtype.itemsize:
        raise FormatError("it has a NumPy number whose size is not that of its dtype")
    return np.frombuffer(data, dtype)[0].item()


def _numpy_array(converter: _Converter, made: Made) -> Any:
    state = made.states[-1] if made.states else None
    if type(state) is not tuple or len(state) != 5:
        return None
    _, shape, kind, by_columns, data = state
    dtype, data = _numpy_dtype(kind), _raw(converter, data)
    if dtype is None or data is None:
        return None
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise FormatError("it has a NumPy array without a valid shape")
    if math.prod(shape) * dtype.itemsize != len(data) or len(shape) > 32:
        raise FormatError("it has a NumPy array whose size does not match its shape")
    flat = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if by_columns is True else "C")


def _raw(converter: _Converter, data: Any) -> bytes | None:
    if type(data) is Made:
        data = converter.of(data)
    if type(data) is str:  # from Python 2
        try:
            return data.encode("latin-1")
        except UnicodeEncodeError:
            return None
    return data if type(data) is bytes else None


_MAKERS: dict[str, _Maker] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _ordered_dict,
    "collections.Counter": _ordered_dict,
    "_codecs.encode": _encoded,
    "torch.Size": _size,
    "torch.device": _device,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_qtensor": _quantized_tensor,
    "torch.ScriptObject": _packed,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _of_type,
}
for _module in ("builtins", "__builtin__"):
    _MAKERS |= {f"{_module}.set": _set, f"{_module}.frozenset": _set}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _MAKERS |= {f"{_module}.scalar": _numpy_scalar, f"{_module}._reconstruct": _numpy_array}
