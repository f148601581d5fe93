"""Convolutions one behind the other, which the core computes in one call.

Between two of them there may be the magnitude of a spectrum: the root of the sum of two squares, of
some channels and of as many others. A value that anything else reads ends a chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Link, Magnitude
from pyrnn.backend import selection
from pyrnn.interop.onnx.graph import AnyArray
from pyrnn.interop.onnx.operators._build import CONTRADICTIONS, Build, Function, OfFirst, ints
from pyrnn.interop.onnx.operators.dense import Packed
from pyrnn.interop.onnx.operators.windows import LONG_PADS, OneAxis
from pyrnn.interop.onnx.planning.steps import Step, named

OUTSIDE = -1
"""As the number of a step: who reads what the plan gives."""
OPEN_END = (1 << 31) - 1
"""As the end of a slice, or more: all that there is."""


def chained(
    steps: Sequence[Step], results: Sequence[int], opset: int, constants: Mapping[str, AnyArray]
) -> list[Step]:
    """The steps, of which every chain of convolutions is one."""
    finder = _Finder(steps, results, opset, constants)
    instead: dict[int, Step] = {}
    dropped: set[int] = set()
    for number, step in enumerate(steps):
        if number in dropped or number in instead or not _is_link(step):
            continue
        links, members = finder.chain_from(number)
        if len(members) > 1:
            *others, last = members
            parts = [steps[n] for n in members]
            run = Chain(links, parts)
            # At the place of the last one: what reads it comes later.
            instead[last] = Step(run, step.inputs[:1], parts[-1].outputs, (), None)
            dropped.update(others)
    return [instead.get(n, step) for n, step in enumerate(steps) if n not in dropped]


class LinkNode(NamedTuple):
    """A convolution of a graph with what follows it."""

    convolution: OneAxis
    magnitude: Magnitude | None


class Chain(OfFirst):
    """Several convolutions as one function of the first one's input."""

    def __init__(self, links: Sequence[LinkNode], steps: Sequence[Step]) -> None:
        super().__init__(self.run)
        self._steps = steps

        def pack(backend: selection.Backend) -> Function:
            return backend.pack_chain(
                [
                    Link(one.packed.function(), one.pads[0], one.pads[1], magnitude)
                    for one, magnitude in links
                ]
            )

        self._packed = Packed(pack)

    def run(self, x: AnyArray) -> Any:
        """(N, C, L) -> (N, M, L')."""
        try:
            return self._packed.function()(x)
        except CONTRADICTIONS:
            return self._one_by_one(x)  # which says what does not fit, and where

    def _one_by_one(self, x: AnyArray) -> Any:
        values: dict[int, Any] = {self._steps[0].inputs[0]: x}
        for step in self._steps:
            try:
                # Weights and the numbers of slices are known to their functions.
                result = step.run(*[values.get(place) for place in step.inputs])
            except CONTRADICTIONS as error:
                raise named(error, step) from error
            values[step.outputs[0]] = result
        return result


def _is_link(step: Step) -> bool:
    """Whether a step is a convolution in the core, with the same zeros around any input."""
    run = step.run
    return isinstance(run, OneAxis) and run.pads is not None and sum(run.pads) <= LONG_PADS


class _Region(NamedTuple):
    """Some of the channels of a convolution, at all steps but the first few."""

    begin: int
    end: int
    skipped: int


class _Finder:
    """Steps, and who reads what each of them makes."""

    def __init__(
        self,
        steps: Sequence[Step],
        results: Sequence[int],
        opset: int,
        constants: Mapping[str, AnyArray],
    ) -> None:
        self.steps, self.opset, self.constants = steps, opset, constants
        self.readers: dict[int, list[int]] = {place: [OUTSIDE] for place in results}
        for number, step in enumerate(steps):
            for place in dict.fromkeys(step.inputs):
                self.readers.setdefault(place, []).append(number)

    def chain_from(self, number: int) -> tuple[list[LinkNode], list[int]]:
        """The links of a chain, and the numbers of the steps that they stand for, in order."""
        links: list[LinkNode] = []
        members: list[int] = []
        while True:
            convolution: OneAxis = self.steps[number].run  # type: ignore[assignment]
            members.append(number)
            place, channels = self.steps[number].outputs[0], convolution.out
            found = self._magnitude(place, channels)
            if found is not None:
                magnitude, between = found
                members += between
                place, channels = self.steps[between[-1]].outputs[0], magnitude.channels
            links.append(LinkNode(convolution, found and found[0]))
            number = self._only_reader(place)
            if number == OUTSIDE or not _is_link(self.steps[number]):
                break
            following: OneAxis = self.steps[number].run  # type: ignore[assignment]
            if (following.channels, following.dtype) != (channels, convolution.dtype):
                break
        return links, members

    def _only_reader(self, place: int) -> int:
        readers = self.readers.get(place, [])
        return readers[0] if len(readers) == 1 else OUTSIDE

    def _magnitude(self, place: int, channels: int) -> tuple[Magnitude, list[int]] | None:
        """What the readers of a convolution compute, if it is a magnitude and nothing else."""
        squares: dict[int, _Region] = {}
        members: list[int] = []
        regions = {place: _Region(0, channels, 0)}
        waiting = [place]
        while waiting:
            place = waiting.pop()
            for number in self.readers.get(place, []):
                if number == OUTSIDE:
                    return None
                step, region = self.steps[number], regions[place]
                output = step.outputs[0]
                part = self._slice(step, region)
                if part is not None:
                    regions[output] = part
                    waiting.append(output)
                elif _is_square(step):
                    squares[output] = region
                else:
                    return None
                members.append(number)
        return self._root_of_sum(squares, members)

    def _root_of_sum(
        self, squares: Mapping[int, _Region], members: list[int]
    ) -> tuple[Magnitude, list[int]] | None:
        if len(squares) != 2:
            return None
        (one, first), (other, second) = squares.items()
        total = self._only_reader(one)
        if total == OUTSIDE or self._only_reader(other) != total:
            return None
        root = self._only_reader(self.steps[total].outputs[0])
        if root == OUTSIDE or self.steps[total].run is not np.add:
            return None
        count = first.end - first.begin
        alike = count == second.end - second.begin and first.skipped == second.skipped
        if self.steps[root].run is not np.sqrt or count < 1 or not alike:
            return None
        magnitude = Magnitude(count, first.begin, second.begin, first.skipped)
        return magnitude, sorted([*members, total, root])

    def _slice(self, step: Step, region: _Region) -> _Region | None:
        """What a constant slice leaves of a region, if that is one too."""
        if step.node is None or step.node.op != "Slice" or self.opset < 10:
            return None
        build = Build(step.node, self.opset, self.constants)
        given = [build.constant(index) for index in range(1, 5)]
        if any(array is None and build.given(i) for i, array in enumerate(given, start=1)):
            return None
        starts, ends, axes, strides = [None if array is None else ints(array) for array in given]
        if starts is None or ends is None:
            return None
        begin, end, skipped = region
        every = zip(
            starts, ends, axes or range(len(starts)), strides or [1] * len(starts), strict=False
        )
        for start, stop, axis, stride in every:
            if stride != 1:
                return None
            if axis in (1, -2):
                left, right, _ = slice(start, stop).indices(end - begin)
                begin, end = begin + left, begin + max(left, right)
            elif axis in (2, -1) and start >= 0 and stop >= OPEN_END:
                skipped += start
            else:
                return None
        return _Region(begin, end, skipped)


def _is_square(step: Step) -> bool:
    run = step.run
    if run is np.multiply:
        return step.inputs[0] == step.inputs[1]
    return isinstance(run, OfFirst) and run.function is np.square
