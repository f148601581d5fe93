"""The layers of an ONNX graph one behind the other, if the graph is nothing else.

A graph that only turns axes between its layers says which axis is time and which is the batch. Read
from its first input to its output, it gives every layer in order, those without weights as well:
activations, maxima, the last step, the mean over time. What a graph has beyond that is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pyrnn.interop._made import changed
from pyrnn.interop.onnx import quantized_nodes
from pyrnn.interop.onnx.chain.moves import FUNCTIONS, STEPS, place
from pyrnn.interop.onnx.chain.path import DIRECTIONS, FEATURES, LeftError, Path
from pyrnn.interop.onnx.graph import Graph, Program, Value
from pyrnn.interop.onnx.nodes import Step, is_half
from pyrnn.interop.onnx.operators._build import CONTRADICTIONS, ints
from pyrnn.interop.onnx.operators.quantized import is_known
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.batch_norm import BatchNorm1d
from pyrnn.layers.composition.pointwise import LayerNorm
from pyrnn.layers.composition.pooling import LastStep
from pyrnn.layers.convolution.conv1d import Conv1d
from pyrnn.layers.convolution.over_time import InstanceNorm1d
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent._stack import Recurrent

_MOVES = {
    "Cast", "Concat", "Constant", "ConstantOfShape", "Expand", "Gather", "Identity", "Reshape",
    "Shape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators by which states may reach a layer and leave it."""
_STATES = (5, 6)
"""Which inputs of a recurrent operator are states."""
_SIDES = ([0, 1], [-2, -1])
_MOST_MOVES = 8
"""Nodes between a value and the shape that is taken of it."""
_HELD = "an initial state that the file holds is no part of a layer"


class Chain(NamedTuple):
    """Layers in order; and by the names of nodes what a graph has beyond them, empty if nothing."""

    layers: dict[str, Layer]
    left: dict[str, str]


def chain(program: Program, walked: Iterable[Step]) -> Chain:
    """The whole graph as layers, or its layers with weights and what it has beside them."""
    walked = list(walked)
    own = {id(node) for node in program.graph.nodes}
    path = _Whole(program.graph, [step for step in walked if id(step.build.node) in own])
    try:
        with np.errstate(all="ignore"):  # of weights that are computed
            return Chain(path.read(), {})
    except LeftError as end:
        left = {end.name: end.reason}
    except CONTRADICTIONS as error:
        left = {path.here: f"it cannot be read as a layer ({error})"}
    layers = {step.name: step.layer for step in walked if step.layer is not None}
    return Chain(layers, left | path.others())


class _Whole(Path):
    """The path through a whole graph, and what is beside it."""

    def __init__(self, graph: Graph, walked: Sequence[Step]) -> None:
        super().__init__()
        self.graph, self.walked = graph, walked
        self.used: set[int] = set()
        self.here = "(the graph)"
        self.makers = {name: s for s in self.walked for name in s.build.node.outputs if name}
        self.constants = self.walked[0].build.constants if self.walked else self.graph.constants
        wanted = [value.name for value in self.graph.outputs]
        self.live: dict[int, Step] = {}
        while wanted:
            step = self.makers.get(wanted.pop())
            if step is None or id(step.build.node) in self.live or self._fixed(step):
                continue
            self.live[id(step.build.node)] = step
            wanted += step.build.node.inputs
        self.readers: dict[str, list[Step]] = {}
        for step in self.walked:
            if id(step.build.node) in self.live:
                for name in dict.fromkeys(step.build.node.inputs):
                    self.readers.setdefault(name, []).append(step)

    def _fixed(self, step: Step) -> bool:
        return all(name in self.constants for name in step.build.node.outputs if name)

    # --- the path ---------------------------------------------------------------------------

    def read(self) -> dict[str, Layer]:
        """Every layer in order."""
        outputs = {value.name for value in self.graph.outputs}
        if not self.graph.inputs:
            raise LeftError("(inputs)", "expected an input, got none")
        self._begin(self.graph.inputs[0])
        while self.value not in outputs:
            self._next()
        if self._readers():
            raise LeftError(self.value, "it is an output, and other nodes read it as well")
        order = tuple(axis for axis in ("0", "1", FEATURES) if axis in self.axes)
        if self.axes != order:
            raise LeftError(self.value, f"its axes are in the order {', '.join(self.axes)}")
        self._check_others()
        return self._named()

    def _begin(self, first: Value) -> None:
        if first.shape is None or not 1 <= len(first.shape) <= 3:
            raise LeftError(first.name, "expected an input of 1 to 3 axes")
        self.value = first.name
        axes = ("0", "1", FEATURES)
        indices = first.dtype is not None and first.dtype.kind in "iu"
        if indices:
            self.axes = axes[: len(first.shape)]
        elif len(first.shape) == 1:
            raise LeftError(first.name, "expected an input with an axis for the batch")
        else:
            self.axes = (*axes[: len(first.shape) - 1], FEATURES)

    def _readers(self) -> list[Step]:
        """The nodes that compute with the value; its shape alone says nothing new."""
        found = self.readers.get(self.value, [])
        return [step for step in found if not self._says_sizes(step)]

    def _says_sizes(self, step: Step, depth: int = 0) -> bool:
        """Whether nothing but the shape of what a node gives is used."""
        node = step.build.node
        if node.op == "Shape":
            return True
        outputs = {value.name for value in self.graph.outputs}
        behind = [one for name in node.outputs for one in self.readers.get(name, [])]
        if depth > _MOST_MOVES or node.op not in _MOVES or outputs & set(node.outputs):
            return False
        return all(self._says_sizes(one, depth + 1) for one in behind) and bool(behind)

    def _next(self) -> None:
        readers = self._readers()
        if len(readers) == 2 and (self._both_ends(readers) or self._both_states(readers)):
            return
        if len(readers) != 1:
            names = ", ".join(step.build.node.name for step in readers) or "no node"
            raise LeftError(self.value, f"expected one node to read it, got {names}")
        (step,) = readers
        node = step.build.node
        self.here = node.name
        once = node.inputs.count(self.value) == 1 and id(node) not in self.used
        if not once or not is_known(node) or any(node.subgraphs()):
            raise LeftError(node.name, f"{node.op} is no layer")
        self.used.add(id(node))
        if step.layer is not None:
            self._layer(step, step.layer)
            return
        found = STEPS.get(node.op)
        if found is None or step.refused is not None or not found(self, step):
            raise LeftError(node.name, step.refused or f"{node.op} is no layer of pyrnn here")
        self.value = node.outputs[0]

    # --- layers -----------------------------------------------------------------------------

    def _layer(self, step: Step, layer: Layer) -> None:
        node, name = step.build.node, step.name
        if is_half(step.build):
            raise LeftError(name, f"{node.op} computes in float16")
        data = 1 if isinstance(layer, Embedding) else 0
        if node.inputs[data] != self.value:
            raise LeftError(name, f"{node.op} computes with the value in another way")
        if isinstance(layer, Recurrent):
            self._recurrent(step, layer)
            return
        if isinstance(layer, (Conv1d, InstanceNorm1d)):
            self.expect(name, "batch", FEATURES, "time")
        elif isinstance(layer, BatchNorm1d) and len(self.axes) == 3:
            if self.axes[1] != FEATURES:
                raise LeftError(name, f"expected features second, got {', '.join(self.axes)}")
        elif isinstance(layer, Embedding):
            self.axes = (*self.axes, FEATURES)
        elif isinstance(layer, (Linear, LayerNorm, BatchNorm1d)) and self.axes[-1] != FEATURES:
            raise LeftError(name, f"expected features as the last axis, got {', '.join(self.axes)}")
        self.add(name, layer)
        self.value = node.outputs[0]
        if isinstance(layer, Linear) and layer.bias and node.op != "Gemm":
            for behind in quantized_nodes.nodes_of(node, step.links):
                if behind.op == "Add":
                    self.used.add(id(behind))
                    self.value = behind.outputs[0]

    def _recurrent(self, step: Step, layer: Recurrent) -> None:
        node = step.build.node
        first = ("batch", "time") if layer.batch_first else ("time", "batch")
        self.expect(step.name, *first, FEATURES)
        lengths = node.inputs[4] if len(node.inputs) > 4 else ""
        if lengths and lengths not in {value.name for value in self.graph.inputs}:
            raise LeftError(step.name, "the lengths of sequences are not an input")
        self.add(step.name, layer)
        begin = self.axes
        states: tuple[str, ...] = (*begin[:1], DIRECTIONS, *begin[1:])
        if layer.batch_first:
            states = (*begin[:2], DIRECTIONS, FEATURES)
        self.value, self.axes = node.outputs[0], states
        outputs = {value.name for value in self.graph.outputs}
        if self._readers() or self.value in outputs:
            return
        # Nothing reads Y, so the last state is the output.
        self.value = node.outputs[1] if len(node.outputs) > 1 else ""
        self.without(begin[1 if layer.batch_first else 0])
        last = LastStep(layer.batch_first, layer.bidirectional, reverse=layer.reverse)
        self.add(f"{step.name}_last", last)

    def _both_ends(self, readers: Sequence[Step]) -> bool:
        """The last step of one direction beside the first one of the other."""
        ends = [place(self, step) for step in readers]
        axis = ends[0][0]
        if axis is None or ends[1][0] != axis or {at for _, at in ends} != {-1, 0}:
            return False
        if self.axes[-1] != FEATURES or len(self.axes) != 3:
            return False
        splits = [self._only(step) for step in readers]
        if any(one is None or one.build.node.op != "Split" for one in splits):
            return False
        last, first = splits if ends[0][1] == -1 else splits[::-1]
        assert last is not None
        assert first is not None
        sides = (last.build.node.outputs[0], first.build.node.outputs[-1])
        joined = self.readers.get(sides[0], [])
        halves = all(len(one.build.node.outputs) == 2 for one in (last, first))
        if len(joined) != 1 or joined[0].build.node.inputs != sides or not halves:
            return False
        join = joined[0].build
        axes = {one.integer("axis", 0) for one in (last.build, first.build, join)}
        if join.node.op != "Concat" or not axes <= {1, -1}:  # (batch, features)
            return False
        if not self._same_halves(last, first) or not self.is_time(axis):
            return False
        self.used |= {id(one.build.node) for one in (*readers, last, first, joined[0])}
        self.without(axis)
        self.add(join.node.name, LastStep(bidirectional=True))
        self.value = join.node.outputs[0]
        return True

    def _both_states(self, readers: Sequence[Step]) -> bool:
        """The last state of one direction beside that of the other."""
        ends = [place(self, step) for step in readers]
        if [axis for axis, _ in ends] != [DIRECTIONS] * 2 or [at for _, at in ends] not in _SIDES:
            return False
        joined = self._only(readers[0])
        sides = tuple(step.build.node.outputs[0] for step in readers)
        if len(self.axes) != 3 or self.axes[0] != DIRECTIONS or joined is None:
            return False
        join = joined.build
        if join.node.op != "Concat" or join.node.inputs != sides:
            return False
        if join.integer("axis", 0) not in (1, -1) or self._only(readers[1]) is not joined:
            return False
        self.used |= {id(one.build.node) for one in (*readers, joined)}
        self.without(DIRECTIONS)
        self.value = join.node.outputs[0]
        return True

    def _same_halves(self, *splits: Step) -> bool:
        """Whether each gives two halves."""
        for step in splits:
            sizes = step.build.constant(1)
            said = step.build.integers("split") if sizes is None else tuple(ints(sizes))
            if said is not None and (len(said) != 2 or said[0] != said[1]):
                return False
        return True

    def _only(self, step: Step) -> Step | None:
        found = self.readers.get(step.build.node.outputs[0], [])
        return found[0] if len(found) == 1 else None

    # --- what is beside the path ------------------------------------------------------------

    def others(self) -> dict[str, str]:
        """The nodes off the path that compute something and are no layers."""
        return {
            step.build.node.name: f"{step.build.node.op} is no layer of pyrnn here"
            for key, step in self.live.items()
            if key not in self.used
            and step.layer is None
            and step.build.node.op not in (*_MOVES, *FUNCTIONS, "Add")
        }

    def _check_others(self) -> None:
        """Refuse nodes that do more than bring states to layers and away from them."""
        state_inputs = {
            step.build.node.inputs[index]
            for step in self.live.values()
            if isinstance(step.layer, Recurrent)
            for index in _STATES
            if index < len(step.build.node.inputs)
        }
        for key, step in self.live.items():
            if key not in self.used and step.build.node.op not in _MOVES:
                raise LeftError(step.build.node.name, f"{step.build.node.op} is beside the layers")
        seen: set[str] = set()
        wanted = list(state_inputs)
        while wanted:
            name = wanted.pop()
            if name in seen:
                continue
            seen.add(name)
            array = self.constants.get(name)
            if array is not None and array.dtype.kind == "f" and np.any(array):
                raise LeftError(name, _HELD)
            maker = self.makers.get(name)
            if name == self.graph.inputs[0].name:
                raise LeftError(name, "an initial state is computed from it")
            if maker is not None and array is None and maker.build.node.op != "Shape":
                if isinstance(maker.layer, Recurrent) or id(maker.build.node) in self.used:
                    raise LeftError(
                        maker.build.node.name, "its state is another layer's initial state"
                    )
                wanted += maker.build.node.inputs
                filled = maker.build.node.attributes.get("value")
                if isinstance(filled, np.ndarray) and np.any(filled):
                    raise LeftError(name, _HELD)

    def _named(self) -> dict[str, Layer]:
        """The layers with the axes that were found."""
        if not self.layers:
            raise LeftError("(the graph)", "it has no layers")
        batch_first = self.time == "1"
        found: dict[str, Layer] = {}
        for name, layer in self.layers.items():
            if getattr(layer, "batch_first", batch_first) != batch_first:
                layer = changed(layer, {"batch_first": batch_first})
            found[name] = layer
        return found
