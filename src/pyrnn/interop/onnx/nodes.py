"""The layers in an ONNX graph, each as an ordinary layer of pyrnn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from pyrnn._files import AnyPath
from pyrnn.interop._made import Found, batch_norm_of, embedding_of, linear_of, made_of, warned
from pyrnn.interop.onnx import quantized_nodes, window_nodes
from pyrnn.interop.onnx.equations import Settings, Weights
from pyrnn.interop.onnx.graph import AnyArray, Graph, Node, Program, UnsupportedError
from pyrnn.interop.onnx.operators import OPERATORS
from pyrnn.interop.onnx.operators._build import (
    ALL_FOLDED_NUMBERS,
    CONTRADICTIONS,
    HALF,
    Build,
    contradiction,
    folding,
)
from pyrnn.interop.onnx.operators.further import drawing
from pyrnn.interop.onnx.operators.further.byte_lstm import lstm_of
from pyrnn.interop.onnx.operators.further.sequences import Arrays
from pyrnn.interop.onnx.operators.quantized import LSTM as LSTM_OF_BYTES
from pyrnn.interop.onnx.operators.quantized import is_known
from pyrnn.interop.onnx.operators.recurrent import settings_of, weights_of
from pyrnn.interop.onnx.quantized_nodes import Links
from pyrnn.interop.onnx.weights import layer_activations, plain_cell_of, to_cell, written
from pyrnn.layers._layer import Layer
from pyrnn.layers.recurrent.gru import GRU
from pyrnn.layers.recurrent.lstm import LSTM
from pyrnn.layers.recurrent.rnn import RNN

RECURRENT = ("RNN", "GRU", "LSTM")
_NEVER_FIXED = (*RECURRENT, *drawing.TABLE)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def layers(path: AnyPath) -> dict[str, Layer]:
    """Load the layers in an ``.onnx`` file, by the names of their nodes, in the order of the graph.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        The name of the file.

    Returns
    -------
    dict
        RNN, LSTM and GRU with the attributes of their nodes (``layout=1`` is ``batch_first``);
        Gemm, and MatMul with the Add after it, as `Linear`; Gather of rows as `Embedding`;
        BatchNormalization, InstanceNormalization, LayerNormalization and Conv (1-D) as
        `BatchNorm1d`, `InstanceNorm1d`, `LayerNorm` and `Conv1d`, whose channels are the last axis.
        Weights of 8 bits, as ``onnxruntime.quantization.quantize_dynamic`` writes them, and of
        float16 become float32. Each node is a separate layer; `pyrnn.interop.stacking.stack` joins
        several. An initial state in the file is not part of a layer.

    Raises
    ------
    ModelFileError
        If the file cannot be read.
    MissingExtraError
        If onnx is not installed.

    Warns
    -----
    UserWarning
        For each recurrent node that no layer of pyrnn can compute; `prepare` can run it.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "lstm.onnx")
    ...     onnx.save(pyrnn.LSTM(3, 4), path)
    ...     onnx.layers(path)
    {'lstm_l0': LSTM(3, 4)}
    """
    from pyrnn.interop.onnx.read import read

    return warned(find(read(path)))


class Step(NamedTuple):
    """A node on its way through a graph: its layer, or why it is none that it should be."""

    name: str
    build: Build
    links: Links
    layer: Layer | None
    refused: str | None = None


def steps(program: Program) -> Iterator[Step]:
    """Every node of a graph and of the graphs in it, with the layer that it is."""
    named: set[str] = set()
    for build, links in _builds(program.graph, program.opset, {}):
        name = build.node.name
        while name in named:
            name += "_"
        layer = reason = None
        try:
            with np.errstate(all="ignore"):  # of weights that are computed
                layer = _layer(build._replace(constants=_Widened(build.constants)), links)
        except (UnsupportedError, *CONTRADICTIONS) as error:
            if build.node.op in (*RECURRENT, LSTM_OF_BYTES):
                reason = _reason(build.node, error)
        if layer is not None or reason is not None:
            named.add(name)
        yield Step(name, build, links, layer, reason)


class _Widened(Mapping[str, AnyArray]):
    """Constants of a graph; those of float16 as float32, in which layers compute."""

    def __init__(self, known: Mapping[str, AnyArray]) -> None:
        self.known = known

    def __getitem__(self, name: str) -> AnyArray:
        array = self.known[name]
        return array.astype(np.float32) if array.dtype == HALF else array

    def __contains__(self, name: object) -> bool:
        return name in self.known

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


def is_half(build: Build) -> bool:
    """Whether a node computes with weights of float16, and so rounds what its layer does not."""
    known = [build.constants.get(name) for name in build.node.inputs]
    return any(array is not None and array.dtype == HALF for array in known)


def find(program: Program) -> Found:
    """The layers of a graph and of the graphs in it."""
    return found_in(steps(program))


def found_in(walked: Iterable[Step]) -> Found:
    """The layers among nodes, and why others are none."""
    found = Found({}, {})
    for step in walked:
        if step.layer is not None:
            found.layers[step.name] = step.layer
        elif step.refused is not None:
            found.refused[step.name] = step.refused
    return found


def others(program: Program, found: Found) -> dict[str, tuple[int, int]]:
    """The operators that have weights and are not layers: how many nodes, and how many numbers."""
    counted: dict[str, tuple[int, int]] = {}
    biases: set[str] = set()
    for build, links in _builds(program.graph, program.opset, {}):
        node = build.node
        if node.name in found.layers:
            biases.update(part.name for part in quantized_nodes.nodes_of(node, links))
        given = [build.constants.get(name) for name in node.inputs]
        fixed = all(name == "" or name in build.constants for name in node.inputs)
        if fixed or node.name in found.layers or node.name in biases:
            continue
        numbers = sum(one.size for one in given if one is not None and one.dtype.kind == "f")
        if numbers:
            nodes, before = counted.get(node.op, (0, 0))
            counted[node.op] = nodes + 1, before + numbers
    return counted


def _reason(node: Node, error: Exception) -> str:
    said = str(error) if isinstance(error, UnsupportedError) else contradiction(error)
    return said.removeprefix(f"{node}: ")


# --- the graph ------------------------------------------------------------------------------


def _builds(
    graph: Graph, opset: int, outer: Mapping[str, AnyArray]
) -> Iterator[tuple[Build, Links]]:
    """Every node with all constants that there are before it, and what it is linked to."""
    known: dict[str, AnyArray] = {**outer, **graph.constants}
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    links = Links(readers, {name: node for node in graph.nodes for name in node.outputs})
    left = ALL_FOLDED_NUMBERS
    for node in graph.nodes:
        build = Build(node, opset, known)
        yield build, links
        for inner in node.subgraphs():
            yield from _builds(inner, opset, known)
        if left > 0:
            left -= _fold(build, known)


def _fold(build: Build, known: dict[str, AnyArray]) -> int:
    """Add the result of a node with constant inputs, if it can be computed; return its size."""
    node = build.node
    if not is_known(node) or node.op not in OPERATORS or node.op in _NEVER_FIXED:
        return 0
    if not all(name == "" or name in known for name in node.inputs):
        return 0
    try:
        with folding(), np.errstate(all="ignore"):
            arguments = [known[name] if name else None for name in node.inputs]
            result = OPERATORS[node.op](build)(*arguments)
    except Exception:  # whatever the error is, the node has no constant result
        return 0
    parts = result if type(result) is tuple else (result,)
    if any(type(part) is Arrays for part in parts):
        return 0
    made = {n: np.asarray(p) for n, p in zip(node.outputs, parts, strict=False) if n}
    known.update(made)
    return sum(array.size for array in made.values())


# --- one node -------------------------------------------------------------------------------


def _layer(build: Build, links: Links) -> Layer | None:
    """The layer that a node is; None for other operators."""
    op = build.node.op
    if not is_known(build.node):
        return None
    if op in RECURRENT:
        return _recurrent(build)
    if op == LSTM_OF_BYTES:
        return _recurrent(lstm_of(build))
    if op == "Gemm":
        return _gemm(build)
    if op == "MatMul":
        return _matmul(build, links)
    if op == "Gather":
        return _embedding(build) or quantized_nodes.layer(build, links)
    if op == "BatchNormalization":
        return _batch_norm(build)
    return window_nodes.layer(build) or quantized_nodes.layer(build, links)


def _recurrent(build: Build) -> Layer:
    settings = settings_of(build)
    fixed = [build.constant(index) for index in (1, 2, 3, 7)]
    for index, name in ((1, "W"), (2, "R"), (3, "B"), (7, "P")):
        if build.given(index) and build.constant(index) is None:
            raise UnsupportedError(f"{name} is computed from the inputs, so it is no parameter")
    settings, weights = weights_of(settings, *fixed)
    if weights[0].W.dtype not in _FLOATS:
        raise UnsupportedError(f"weights of dtype {weights[0].W.dtype} are not implemented")
    options = layer_activations(settings)
    if options is None:
        raise UnsupportedError(
            f"no layer has {_described(settings)}; prepare(...) runs the node all the same"
        )
    cell = plain_cell_of(settings, weights[0].P is not None)
    options |= {"bias": fixed[2] is not None, "batch_first": build.flag("layout")}
    return layer_of(cell, settings, weights, options)


def _described(settings: Settings) -> str:
    names = dict.fromkeys(f.name for functions in settings.activations for f in functions)
    clip = "" if settings.clip is None else f" and clip={settings.clip:g}"
    return f"activations {', '.join(names)}{clip}"


def layer_of(
    cell: str, settings: Settings, weights: list[Weights], options: Mapping[str, Any]
) -> Layer:
    """An RNN, LSTM or GRU with these weights; ``cell`` is that of the usual activations."""
    options = {
        **options,
        "bidirectional": len(weights) == 2,
        "reverse": settings.backwards == (True,),
        "dtype": weights[0].W.dtype,
    }
    sizes = (weights[0].W.shape[1], settings.hidden_size)
    parameters = {
        f"{name}_{suffix}": array
        for suffix, one in zip(("l0", "l0_reverse"), weights, strict=False)
        for name, array in to_cell(cell, one, options["bias"]).items()
    }

    def make() -> RNN | LSTM | GRU:
        if settings.kind == "RNN":
            return RNN(*sizes, **options)
        if settings.kind == "GRU":
            return GRU(*sizes, reset_after=cell == "gru", **options)
        return LSTM(*sizes, peephole="_peephole" in cell, coupled="_coupled" in cell, **options)

    return made_of(make, parameters)


def _is_weight(array: AnyArray | None) -> bool:
    return array is not None and array.ndim == 2 and array.dtype in _FLOATS and array.size > 0


def _gemm(build: Build) -> Layer | None:
    weight, bias = build.constant(1), build.constant(2)
    scaled = (build.number("alpha", 1.0), build.number("beta", 1.0)) != (1.0, 1.0)
    if not _is_weight(weight) or weight is None or scaled or build.flag("transA"):
        return None
    weight = weight if build.flag("transB") else weight.T
    if build.given(2):
        if bias is None or bias.dtype != weight.dtype or bias.size not in (1, len(weight)):
            return None
        bias = np.broadcast_to(bias.reshape(-1), len(weight))
    return linear_of(weight, bias)


def _matmul(build: Build, links: Links) -> Layer | None:
    weight = build.constant(1)
    if not _is_weight(weight) or weight is None:
        return None
    bias = quantized_nodes.bias_behind(build.node, weight.shape[1], build, links)
    if bias is not None and bias.dtype != weight.dtype:
        bias = None
    return linear_of(weight.T, bias)


def _batch_norm(build: Build) -> Layer | None:
    parts = [build.constant(index) for index in range(1, 5)]
    found = [p for p in parts if p is not None and p.ndim == 1 and p.size and p.dtype in _FLOATS]
    if len(found) < 4 or build.flag("training_mode"):
        return None
    weight, bias, mean, variance = found
    if len({(p.shape, p.dtype) for p in found}) > 1:
        return None
    eps, momentum = (
        written(build.number(name, usual)) for name, usual in (("epsilon", 1e-5), ("momentum", 0.9))
    )
    options = {"eps": eps, "momentum": round(1 - momentum, 7)}
    return batch_norm_of((mean, variance), weight, bias, **options)


def _embedding(build: Build) -> Layer | None:
    weight = build.constant(0)
    if not _is_weight(weight) or weight is None or build.integer("axis", 0) != 0:
        return None
    return None if build.constant(1) is not None else embedding_of(weight)
