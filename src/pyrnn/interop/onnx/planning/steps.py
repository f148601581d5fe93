"""The steps of a plan: functions of values that lie in numbered places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from pyrnn.interop.onnx.graph import Node
from pyrnn.interop.onnx.operators._build import Function, OfFirst, contradiction


class Step(NamedTuple):
    """One node: its function, the places of its inputs and outputs, and those free afterwards.

    Without a node it is several of them, and its errors name the one that they come from.
    """

    run: Function
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    done: tuple[int, ...]
    node: Node | None


class Quick(NamedTuple):
    """A step as the loop takes it."""

    run: Function
    one: int
    """The place of the one input, if ``several`` is None; else that takes all from the places."""
    several: Callable[..., Any] | None
    output: int
    done: tuple[int, ...]
    step: Step


def quick(step: Step) -> Quick:
    """What the loop needs of a step, looked up beforehand."""
    run, inputs, output = step.run, step.inputs, step.outputs[0]
    if inputs and isinstance(run, OfFirst):
        return Quick(run.function, inputs[0], None, output, step.done, step)
    if len(inputs) == 1:
        return Quick(run, inputs[0], None, output, step.done, step)
    several = itemgetter(*inputs) if inputs else lambda values: ()
    return Quick(run, 0, several, output, step.done, step)


def freeing(steps: Sequence[Step], kept: Iterable[int]) -> list[Step]:
    """The steps, each with the places that nobody reads after it; those ``kept`` stay."""
    seen = set(kept)
    found: list[Step] = []
    for step in reversed(steps):
        last = {*step.inputs, *step.outputs} - seen
        seen |= last
        found.append(step._replace(done=tuple(sorted(last))))
    return found[::-1]


def named(error: Exception, step: Step | None) -> ValueError:
    """An error of a step, in one line that names the node."""
    reason = contradiction(error)
    return ValueError(f"{step.node}: {reason}" if step and step.node else reason)
