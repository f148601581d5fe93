"""What one call of a layer of Keras is given: arrays, and what it says by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn.interop.keras.graphs.builder import Builder, Tensor
from pyrnn.interop.keras.graphs.network import Call, Place, flat
from pyrnn.interop.keras.hdf5 import ContentError

_ARRAYS = ("inputs", "x", "x1", "x2", "query", "value", "key", "xs", "arrays", "operands",
           "initial_state", "sequence", "sequences")  # fmt: skip
"""Names of arguments that are arrays, in the order in which they are given without names."""
_MASKS = ("query_mask", "value_mask", "key_mask")
_WITHOUT_MEANING = ("training", "name", "mask")
"""Options that change nothing here; ``mask`` is read for itself."""


class Given(NamedTuple):
    """The arguments of one call, and its other options by name.

    ``allowed`` are the flags of an ``attention_mask``; ``masked`` says that the call names a mask.
    """

    arguments: Sequence[Any]
    options: Mapping[str, Any]
    allowed: Tensor | None = None
    masked: bool = False

    @property
    def tensors(self) -> list[Tensor]:
        """The arrays among the arguments."""
        return [one for one in self.arguments if isinstance(one, Tensor)]

    def check(self, known: Collection[str]) -> None:
        """Refuse options that ask for something, of which only some are known."""
        for name, value in self.options.items():
            if name not in known and value is not None and value is not False:
                raise ContentError(f"its call has the option {name[:50]}, which is not implemented")


def of(values: Mapping[Place, Tensor], place: Any) -> Tensor:
    """The array of a place."""
    if place not in values:
        raise ContentError(f"expected an output of {str(place[0])[:50]!r} that there is")
    return values[place]


def given_to(builder: Builder, call: Call, values: Mapping[Place, Tensor]) -> Given:
    """The arguments of a call, its arrays with the masks that it says."""
    index = call.layer["class_name"] == "GetItem"  # where None is a new axis
    arguments = [_argument(builder, one, values) for one in call.arguments
                 if index or one is not None]  # fmt: skip
    named = dict(call.options)
    for name in _ARRAYS:
        if name in named and (index or _has_place(named[name])):
            value = named.pop(name)
            arguments += [_argument(builder, one, values) for one in flat(value)
                          if one is not None]  # fmt: skip
    if not any(isinstance(one, Tensor) for one in arguments) and not _has_place(
        list(named.values())
    ):
        raise ContentError("expected arrays as arguments, got none")
    masked = named.get("mask") is not None
    _put_masks(arguments, named, values)
    allowed = named.pop("attention_mask", None)
    flags = of(values, allowed) if isinstance(allowed, Place) else None
    options: dict[str, Any] = {}
    for name, value in named.items():
        if isinstance(value, list) and value and all(isinstance(one, Place) for one in value):
            value = value[0] if len(value) == 1 else value
        if name not in _WITHOUT_MEANING:
            options[name] = of(values, value) if isinstance(value, Place) else value
    return Given(arguments, options, flags, masked)


def _has_place(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_place(one) for one in value)
    return isinstance(value, (Place, np.ndarray))


def _argument(builder: Builder, value: Any, values: Mapping[Place, Tensor]) -> Any:
    if isinstance(value, Place):
        return of(values, value)
    if isinstance(value, np.ndarray):
        kind = {"b": "bool", "i": "int", "u": "int"}.get(value.dtype.kind, "float")
        dtype: Any = {"bool": np.bool_, "int": np.int64, "float": builder.dtype}[kind]
        return Tensor(builder.constant(value.astype(dtype), "array"), value.shape, None, kind)
    return value


def _put_masks(arguments: list[Any], named: dict[str, Any], values: Mapping[Place, Tensor]) -> None:
    """Give arrays the masks that the call says, one for all of them or one for each."""
    places = [n for n, one in enumerate(arguments) if isinstance(one, Tensor)]
    mask = named.pop("mask", None)
    masks = mask if isinstance(mask, list) else [mask]
    masks = masks + [None] * (len(places) - len(masks))
    for number, name in enumerate(_MASKS):
        one = named.pop(name, None)
        if isinstance(one, list) and len(one) == 1:
            one = one[0]
        if one is not None and number < len(masks):
            masks[number] = one
    for place, one in zip(places, masks, strict=False):
        if isinstance(one, Place):
            arguments[place] = arguments[place]._replace(mask=of(values, one).name)
