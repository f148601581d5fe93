"""A graph made ready to run: names become places in a list, operators functions of arrays.

Everything is checked and whatever does not depend on an input is computed once, when the plan is
made; weights are packed then or at the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn.interop.onnx.fusion import fused
from pyrnn.interop.onnx.graph import (
    AnyArray,
    Graph,
    GraphError,
    Node,
    Program,
    UnsupportedError,
    all_nodes,
    free_names,
)
from pyrnn.interop.onnx.operators import OPERATORS
from pyrnn.interop.onnx.operators._build import (
    ALL_FOLDED_NUMBERS,
    CONTRADICTIONS,
    Build,
    Function,
    TooManyNumbersError,
    check_size,
    contradiction,
    folding,
    ints,
)
from pyrnn.interop.onnx.operators.further import drawing
from pyrnn.interop.onnx.operators.further.sequences import Arrays
from pyrnn.interop.onnx.operators.quantized import is_known
from pyrnn.interop.onnx.planning.convolutions import chained
from pyrnn.interop.onnx.planning.steps import Step, freeing, named, quick

NESTING = 50


def check_supported(program: Program) -> None:
    """Raise `UnsupportedError` that names every operator that there is no function for."""
    missing = sorted(
        {
            f"{node.domain}.{node.op}" if node.domain else node.op
            for node in all_nodes(program.graph)
            if not is_known(node) or (node.op not in OPERATORS and node.op not in _CONTROL)
        }
    )
    if missing:
        raise UnsupportedError(f"operators that are not implemented: {', '.join(missing)}")


class Plan:
    """One graph, ready to run; ``outer`` are the names that it reads from the graphs around it."""

    def __init__(
        self,
        graph: Graph,
        opset: int,
        outer: Sequence[str] = (),
        known: Mapping[str, AnyArray] | None = None,
        depth: int = 0,
    ) -> None:
        if depth > NESTING:
            raise GraphError(f"expected graphs in graphs at most {NESTING} deep")
        self.opset = opset
        self._depth = depth
        self._folded = 0
        self._shared: dict[Any, Any] = {}
        self._constants: dict[str, AnyArray] = {**(known or {}), **graph.constants}
        self._places: dict[str, int] = {"": 0}
        self._steps: list[Step] = []
        self._start: list[Any] = [None]
        for name in self._constants:
            self._start[self._new(name)] = self._constants[name]
        self._arguments = [self._new(value.name) for value in graph.inputs]
        self._outer = [self._new(name) for name in outer if name not in self._constants]
        for node in fused(graph, self._constants):
            self._add(node)
        self._results = [self._place(value.name, "the graph") for value in graph.outputs]
        kept = [place for place, value in enumerate(self._start) if value is not None]
        steps = chained(self._steps, self._results, opset, self._constants)
        self._steps = freeing(steps, [0, *self._results, *kept])
        self._quick = [quick(step) for step in self._steps]
        self.outer: list[str] = [name for name in outer if name not in (known or {})]

    def run(self, arguments: Sequence[Any], outer: Sequence[Any] = ()) -> list[Any]:
        """The outputs for these inputs."""
        values = self._start.copy()
        for place, value in zip(self._arguments, arguments, strict=True):
            values[place] = value
        for place, value in zip(self._outer, outer, strict=True):
            values[place] = value
        step: Step | None = None
        try:
            for run, one, several, output, done, step in self._quick:
                result = run(values[one]) if several is None else run(*several(values))
                if type(result) is tuple:
                    for place, part in zip(step.outputs, result, strict=False):
                        values[place] = part
                else:
                    values[output] = result
                for place in done:
                    values[place] = None
        except (NotImplementedError, TooManyNumbersError):
            raise
        except CONTRADICTIONS as error:
            raise named(error, step) from error
        return [values[place] for place in self._results]

    # --- making it --------------------------------------------------------------------------

    def _new(self, name: str) -> int:
        """A place for the value that a name has from here on."""
        if name in self._places and name != "":
            raise GraphError(f"expected one node for each name, got {name!r} twice")
        self._places[name] = len(self._start)
        self._start.append(None)
        return self._places[name]

    def _place(self, name: str, reader: object) -> int:
        if name not in self._places:
            raise GraphError(f"{reader}: it reads {name!r}, which nothing before it makes")
        return self._places[name]

    def _add(self, node: Node) -> None:
        inputs = [self._place(name, node) for name in node.inputs]
        build = Build(node, self.opset, self._constants, self._shared)
        captured: list[str] = []
        try:
            if node.op in _CONTROL:
                run, captured = _CONTROL[node.op](build, self._sub)
            else:
                run = OPERATORS[node.op](build)
        except (GraphError, RecursionError):
            raise
        except CONTRADICTIONS as error:
            raise GraphError(f"{node}: {contradiction(error)}") from error
        names = [*node.inputs, *captured]
        inputs += [self._place(name, node) for name in captured]
        fixed = all(n == "" or n in self._constants for n in names) and not _in_each_run(node)
        if fixed and self._fold(node, run, names):
            return
        outputs = tuple(self._new(name) if name else 0 for name in node.outputs)
        if 0 in outputs or not outputs:  # nobody reads what is written there
            spare = len(self._start)
            self._start.append(None)
            outputs = tuple(place or spare for place in outputs or (spare,))
        self._steps.append(Step(run, tuple(inputs), outputs, (), node))

    def _fold(self, node: Node, run: Function, names: Sequence[str]) -> bool:
        """Compute a node all of whose inputs are known; False if it would be large."""
        if self._folded > ALL_FOLDED_NUMBERS:
            return False
        known = [self._constants[name] if name else None for name in names]
        try:
            with folding(), np.errstate(all="ignore"):
                result = run(*known)
        except TooManyNumbersError:
            return False
        except CONTRADICTIONS as error:
            raise GraphError(f"{node}: {contradiction(error)}") from error
        parts = result if type(result) is tuple else (result,)
        if any(type(part) is Arrays for part in parts):
            return False
        for name, part in zip(node.outputs, parts, strict=False):
            if name:
                array = np.asarray(part)
                self._folded += array.size
                self._start[self._new(name)] = array
                self._constants[name] = array
        return True

    def _sub(self, graph: Graph) -> tuple[Plan, list[str]]:
        """The plan of a nested graph, and the names of this graph that it needs."""
        free = free_names(graph)
        known = {name: self._constants[name] for name in free if name in self._constants}
        plan = Plan(graph, self.opset, free, known, self._depth + 1)
        return plan, plan.outer


# --- graphs in graphs -----------------------------------------------------------------------

Sub = Callable[[Graph], "tuple[Plan, list[str]]"]


def _body(build: Build, name: str) -> Graph:
    graph = build.node.attributes.get(name)
    if not isinstance(graph, Graph):
        raise GraphError(f"{build.node}: {name}: expected a graph, got {type(graph).__name__}")
    return graph


def _if(build: Build, sub: Sub) -> tuple[Function, list[str]]:
    """Only the branch that is taken is computed."""
    plans = [sub(_body(build, name)) for name in ("then_branch", "else_branch")]
    captured = list(dict.fromkeys(name for _, names in plans for name in names))
    places = [[captured.index(name) for name in names] for _, names in plans]
    condition = build.constant(0)
    if condition is not None and condition.size == 1:  # the other may be impossible
        plan, names = plans[0 if condition.reshape(()) else 1]
        return lambda _, *outer: tuple(plan.run((), outer)), names

    def run(wanted: AnyArray, *outer: Any) -> Any:
        branch = 0 if wanted.reshape(()) else 1
        plan = plans[branch][0]
        return tuple(plan.run((), [outer[place] for place in places[branch]]))

    return run, captured


def _loop(build: Build, sub: Sub) -> tuple[Function, list[str]]:
    """Loop with carried values; the other outputs of the body are stacked."""
    plan, captured = sub(_body(build, "body"))
    carried = max(0, len(build.node.inputs) - 2)

    def run(count: Any, condition: Any, *rest: Any) -> Any:
        values, outer = list(rest[:carried]), rest[carried:]
        most = None if count is None else ints(count)[0]
        going = True if condition is None else bool(condition.reshape(()))
        stacks: list[list[Any]] = [[] for _ in range(len(build.node.outputs) - carried)]
        turn = 0
        while going and (most is None or turn < most):
            counter = np.array(turn, np.int64)
            results = plan.run((counter, np.array(True), *values), outer)
            going, values = bool(results[0].reshape(())), results[1 : 1 + carried]
            for stack, part in zip(stacks, results[1 + carried :], strict=False):
                stack.append(part)
                check_size((len(stack), *part.shape))
            turn += 1
        return (*values, *(np.stack(s) if s else np.zeros(0, np.float32) for s in stacks))

    return run, captured


def _scan(build: Build, sub: Sub) -> tuple[Function, list[str]]:
    """Loop over slices of some inputs, with carried states (version 9 and later)."""
    if build.opset < 9:
        raise build.unsupported("Scan before version 9")
    body = _body(build, "body")
    plan, captured = sub(body)
    scanned = build.integer("num_scan_inputs", 1)
    states = len(build.node.inputs) - scanned
    given = len(body.outputs) - states
    axes = build.integers("scan_input_axes") or (0,) * scanned
    out_axes = build.integers("scan_output_axes") or (0,) * given
    back = build.integers("scan_input_directions") or (0,) * scanned
    out_back = build.integers("scan_output_directions") or (0,) * given

    def run(*arguments: Any) -> Any:
        values, outer = list(arguments[:states]), arguments[states + scanned :]
        inputs = [
            np.moveaxis(x, axis, 0)[:: -1 if reverse else 1]
            for x, axis, reverse in zip(
                arguments[states : states + scanned], axes, back, strict=True
            )
        ]
        stacks: list[list[Any]] = [[] for _ in range(given)]
        for slices in zip(*inputs, strict=True):
            results = plan.run((*values, *slices), outer)
            values = results[:states]
            for stack, part in zip(stacks, results[states:], strict=True):
                stack.append(part)
        joined = [
            np.stack(stack[:: -1 if reverse else 1], axis=axis)
            for stack, axis, reverse in zip(stacks, out_axes, out_back, strict=True)
        ]
        return (*values, *joined)

    return run, captured


_CONTROL: Mapping[str, Callable[[Build, Sub], tuple[Function, list[str]]]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
}
_IN_EACH_RUN = ("Loop", "Scan", *drawing.TABLE)
"""Operators that a few numbers of a file may make endless, or that draw other numbers each time."""


def _in_each_run(node: Node) -> bool:
    """Whether a node, or one in its graphs, has to wait for `Model.run`."""
    inner = (one.op for graph in node.subgraphs() for one in all_nodes(graph))
    return node.op in _IN_EACH_RUN or any(op in _IN_EACH_RUN for op in inner)
