"""A computation graph in plain values: what an ONNX file says, for code that has no `onnx`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks

AnyArray = npt.NDArray[Any]

DTYPES: Mapping[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
}
"""ONNX's numbers of element types that NumPy has, strings and complex numbers left out."""


MOST_OPERATOR = 200
"""Characters of the name of an operator."""


class GraphError(ValueError):
    """A graph that contradicts itself or the specification; the message is one line.

    Examples
    --------
    >>> from pyrnn.interop.onnx import GraphError
    >>> issubclass(GraphError, ValueError)
    True
    """


def checked_operator(op: str, domain: str) -> str:
    """The name of an operator, which errors and commands show as it is."""
    for name in (op, domain):
        if not name.isprintable() or len(name) > MOST_OPERATOR:
            raise GraphError(f"expected the name of an operator, got {_checks.shown(name)}")
    return op


class UnsupportedError(NotImplementedError):
    """Operators, attributes or types that are not implemented; the message names all in one line.

    Examples
    --------
    >>> from pyrnn.interop import onnx
    >>> try:
    ...     onnx.prepare("model.onnx", device="CUDA:0")
    ... except onnx.UnsupportedError as error:
    ...     print(error)
    device: expected 'CPU', got 'CUDA:0'
    """


@dataclass(frozen=True)
class Value:
    """An input or output of a graph; what the file does not say is None."""

    name: str
    dtype: np.dtype[Any] | None = None
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Node:
    """One operator; an input that is left out has the name ''."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.op})"

    def subgraphs(self) -> Iterator[Graph]:
        """The graphs among the attributes, as those of If and Loop."""
        for value in self.attributes.values():
            if isinstance(value, Graph):
                yield value


@dataclass(frozen=True)
class Graph:
    """Nodes in the order in which they run. Constants are its weights, by name."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    constants: Mapping[str, AnyArray]
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Program:
    """A whole model: its graph, and the version of the operators that it means."""

    graph: Graph
    opset: int
    metadata: Mapping[str, str] = field(default_factory=dict)


def all_nodes(graph: Graph) -> Iterator[Node]:
    """Every node, those of subgraphs after the node that holds them."""
    for node in graph.nodes:
        yield node
        for inner in node.subgraphs():
            yield from all_nodes(inner)


def free_names(graph: Graph) -> list[str]:
    """The names that a subgraph reads from the graphs around it, in the order of first use."""
    known = {value.name for value in graph.inputs} | set(graph.constants) | {""}
    found: dict[str, None] = {}
    for node in graph.nodes:
        names = list(node.inputs)
        for inner in node.subgraphs():
            names += free_names(inner)
        found.update((name, None) for name in names if name not in known)
        known.update(node.outputs)
    found.update((value.name, None) for value in graph.outputs if value.name not in known)
    return list(found)
