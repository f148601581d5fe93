"""A graph as it is built: nodes, constants, and what is known of the arrays between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn.interop.keras.hdf5 import ContentError
from pyrnn.interop.onnx.graph import AnyArray, Node

OPSET = 17
Shape = tuple["int | None", ...]


class Tensor(NamedTuple):
    """An array: its name in the graph, its sizes where they are known, its mask, and its kind.

    ``mask`` is the name of a boolean array (N, T), or None where all time steps count. ``kind`` is
    "float" for the graph's floats, "int" for int64, "bool" for flags.
    """

    name: str
    shape: Shape
    mask: str | None = None
    kind: str = "float"

    @property
    def features(self) -> int | None:
        """The size of the last axis."""
        return self.shape[-1] if self.shape else None


class Builder:
    """Collects a graph.

    ``scope`` is the name of the layer that is built, ``dtype`` that of the floats; ``old`` says
    that a Keras before 3 gives the layers their meaning.
    """

    def __init__(self, dtype: np.dtype[Any], old: bool = False) -> None:
        self.dtype = dtype
        self.old = old
        self.nodes: list[Node] = []
        self.constants: dict[str, AnyArray] = {}
        self.scope = ""
        self._taken: dict[str, int] = {}
        self._weights: dict[tuple[str, str], str] = {}

    def unique(self, name: str) -> str:
        """The name, with a number behind it where it is taken."""
        number = self._taken[name] = self._taken.get(name, -1) + 1
        return self.unique(f"{name}_{number}") if number else name

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output; returns its name."""
        return self.ops(op, inputs, 1, **attributes)[0]

    def ops(self, op: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """A node of several outputs."""
        name = self.unique(f"{self.scope}/{op}" if self.scope else op)
        made = [name] + [self.unique(f"{name}:{number}") for number in range(1, outputs)]
        self.nodes.append(Node(op, name, tuple(inputs), tuple(made), attributes))
        return made

    def constant(self, array: Any, name: str = "constant") -> str:
        """An array as it is."""
        label = self.unique(f"{self.scope}/{name}" if self.scope else name)
        self.constants[label] = np.ascontiguousarray(array).reshape(np.shape(array))
        return label

    def weight(self, array: Any, name: str) -> str:
        """An array of floats of the graph's dtype, once for each layer and name."""
        key = self.scope, name
        if key not in self._weights:
            floats = np.asarray(array).astype(self.dtype, copy=False)
            self._weights[key] = self.constant(floats, name)
        return self._weights[key]

    def number(self, value: float) -> str:
        """A number of the graph's dtype."""
        return self.constant(np.array(value, self.dtype), "number")

    def integers(self, *values: int) -> str:
        """Whole numbers in one row, as sizes and axes are given."""
        return self.constant(np.array(values, np.int64), "integers")

    # --- what several layers do -------------------------------------------------------------

    def cast(self, name: str, dtype: Any) -> str:
        """Numbers of another dtype."""
        kinds = {"float32": 1, "float64": 11, "int32": 6, "int64": 7, "bool": 9}
        return self.op("Cast", name, to=kinds[np.dtype(dtype).name])

    def of_kind(self, x: Tensor, kind: str) -> Tensor:
        """An array as floats, whole numbers or flags."""
        if x.kind == kind:
            return x
        dtype = {"float": self.dtype, "int": np.int64, "bool": np.bool_}[kind]
        return x._replace(name=self.cast(x.name, dtype), kind=kind)

    def transposed(self, name: str, *order: int) -> str:
        """The axes in another order."""
        return self.op("Transpose", name, perm=order)

    def reshaped(self, name: str, *shape: int) -> str:
        """Other axes; 0 is the size that the axis has, -1 what is left."""
        return self.op("Reshape", name, self.integers(*shape))

    def sliced(self, name: str, axis: int, begin: int, end: int) -> str:
        """Part of one axis; numbers below 0 count from its end."""
        ends = (self.integers(one) for one in (begin, end, axis))
        return self.op("Slice", name, *ends)


def axis_of(value: Any, axes: int, name: str = "axis") -> int:
    """An axis that a configuration names, counted from the front."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if type(value) is not int or not -axes <= value < axes:
        raise ContentError(f"{name}: expected one of {axes} axes, got {str(value)[:50]}")
    return value % axes


def axes_of(value: Any, axes: int, name: str = "axis") -> tuple[int, ...]:
    """One axis or several that a configuration names, counted from the front, in order."""
    given = value if isinstance(value, (list, tuple)) else [value]
    found = sorted({axis_of(one, axes, name) for one in given})
    if not found or len(found) != len(given):
        raise ContentError(f"{name}: expected different axes, got {str(value)[:50]}")
    return tuple(found)


def sizes_of(value: Any, count: int, name: str, least: int = 1) -> tuple[int, ...]:
    """Whole numbers of a configuration, which may give one for all."""
    sizes = tuple(value) if isinstance(value, (list, tuple)) else (value,) * count
    if len(sizes) != count or any(type(one) is not int or one < least for one in sizes):
        raise ContentError(f"{name}: expected {count} whole numbers, got {str(value)[:50]}")
    return sizes


def number_of(value: Any, name: str) -> float:
    """A finite number of a configuration."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise ContentError(f"{name}: expected a number, got {str(value)[:50]}")
    return float(value)


def known(size: int | None, name: str) -> int:
    """A size that a layer needs to know."""
    if size is None:
        raise ContentError(f"expected {name} of known size")
    return size
