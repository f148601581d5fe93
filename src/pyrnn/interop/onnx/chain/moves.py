"""Nodes without weights on the way: what they do to the axes, and the layers that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyrnn.interop.onnx.chain.path import DIRECTIONS, FEATURES, LAST, LEVELS, MEAN, Path
from pyrnn.interop.onnx.nodes import Step
from pyrnn.interop.onnx.operators._build import ints
from pyrnn.interop.onnx.weights import written
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.pointwise import Activation, Dropout, Softmax
from pyrnn.layers.composition.pooling import LastStep, MeanOverTime
from pyrnn.layers.convolution.over_time import MaxPool1d

FUNCTIONS: Mapping[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "Elu": ("elu", (("alpha", 1.0),)),
    "HardSigmoid": ("hard_sigmoid", (("alpha", 0.2), ("beta", 0.5))),
    "LeakyRelu": ("leaky_relu", (("alpha", 0.01),)),
    "Relu": ("relu", ()),
    "Sigmoid": ("sigmoid", ()),
    "Softplus": ("softplus", ()),
    "Softsign": ("softsign", ()),
    "Tanh": ("tanh", ()),
    "ThresholdedRelu": ("thresholded_relu", (("alpha", 1.0),)),
}
"""Operators that are an activation: its name, and the numbers that it has."""
_MERGES = {"ReduceSum": "sum", "ReduceProd": "mul", "ReduceMean": "ave"}


def _listed(step: Step) -> list[int] | None:
    """The axes of a node, from its attribute or its second input."""
    given = step.build.integers("axes")
    if given is not None:
        return list(given)
    array = step.build.constant(1)
    return None if array is None else ints(array)


def _same(path: Path, step: Step) -> bool:
    return True


def _function(path: Path, step: Step) -> bool:
    name, numbers = FUNCTIONS[step.build.node.op]
    found = tuple(written(step.build.number(one, usual)) for one, usual in numbers)
    usual_ones = tuple(usual for _, usual in numbers)
    function: Any = name if found == usual_ones else (name, *found)
    path.add(step.build.node.name, Activation(function))
    return True


def _softmax(path: Path, step: Step) -> bool:
    """Along the last axis, of features."""
    axis = step.build.integer("axis", -1)
    if path.axes[-1] != FEATURES or axis not in (-1, len(path.axes) - 1):
        return False
    path.add(step.build.node.name, Softmax())
    return True


def _number(path: Path, step: Step) -> float | None:
    """What a node adds to every element, or multiplies it with."""
    other = [name for name in step.build.node.inputs if name != path.value]
    array = step.build.constants.get(other[0]) if len(other) == 1 else None
    return None if array is None or array.size != 1 or array.ndim else written(float(array))


def _scale(path: Path, step: Step) -> bool:
    """Of an affine function; behind one of these and a tanh, all three are a scaled tanh."""
    number = _number(path, step)
    if number is None:
        return False
    before = [_numbers_of(layer) for layer in list(path.layers.values())[-2:]]
    if len(before) == 2 and before[1] == ("tanh",) and _is_scale(before[0]):
        path.layers.popitem()
        path.layers.popitem()
        path.add(step.build.node.name, Activation(("scaled_tanh", number, before[0][1])))
    else:
        path.add(step.build.node.name, Activation(("affine", number, 0.0)))
    return True


def _shift(path: Path, step: Step) -> bool:
    """Of an affine function, which a scale may have begun."""
    number = _number(path, step)
    if number is None:
        return False
    before = [_numbers_of(layer) for layer in list(path.layers.values())[-1:]]
    scale = 1.0
    if before and _is_scale(before[0]):
        path.layers.popitem()
        scale = before[0][1]
    path.add(step.build.node.name, Activation(("affine", scale, number)))
    return True


def _numbers_of(layer: Layer) -> tuple[Any, ...]:
    """The name and the numbers of an activation; nothing of another layer."""
    if not isinstance(layer, Activation):
        return ()
    return (layer.function,) if isinstance(layer.function, str) else tuple(layer.function)


def _is_scale(function: tuple[Any, ...]) -> bool:
    return len(function) == 3 and function[0] == "affine" and function[2] == 0.0


def _dropout(path: Path, step: Step) -> bool:
    ratio = step.build.constant(1)
    rate = step.build.number("ratio", 0.5) if ratio is None else float(ratio)
    training = step.build.constant(2)
    if training is not None and bool(training):
        return False
    path.add(step.build.node.name, Dropout(written(rate)))
    return True


def _transpose(path: Path, step: Step) -> bool:
    turned = step.build.integers("perm") or tuple(reversed(range(len(path.axes))))
    path.axes = tuple(path.axes[axis] for axis in turned)
    return True


def _squeeze(path: Path, step: Step) -> bool:
    listed = _listed(step)
    if listed is None:
        return False
    axes = [path.axes[number] for number in listed]
    return all(_removed(path, step, axis) for axis in axes)


def _removed(path: Path, step: Step, axis: str) -> bool:
    """An axis of one element is left out."""
    if axis == DIRECTIONS:
        if _directions(path) != 1:
            return False
        path.without(axis)
        return True
    kinds: Mapping[str, Callable[[], Layer]] = {LAST: LastStep, MEAN: MeanOverTime}
    if axis not in kinds:
        return False
    path.without(axis)
    path.add(step.build.node.name, kinds[axis]())
    return True


def _directions(path: Path) -> int:
    last = path.recurrent()
    return 0 if last is None else last.num_directions


def _reshape(path: Path, step: Step) -> bool:
    """One that joins both directions with the features, or leaves an axis of one element out."""
    shape = step.build.constant(1)
    sizes = [] if shape is None else ints(shape)
    if DIRECTIONS not in path.axes or len(sizes) != len(path.axes) - 1:
        return False
    if path.axes[-2:] != (DIRECTIONS, FEATURES):
        return _directions(path) == 1 and _kept(path, sizes) and _removed(path, step, DIRECTIONS)
    if not all(size == 0 for size in sizes[:-1]) and sizes[-1] != _features(path):
        return False
    path.without(DIRECTIONS)
    return sizes[-1] in (-1, _features(path))


def _kept(path: Path, sizes: Sequence[int]) -> bool:
    """Whether sizes leave out the axis of directions alone, as far as zeros and -1 say."""
    before = path.axes.index(DIRECTIONS)
    return all(size == 0 for size in sizes[:before]) and sizes[-1] in (-1, _features(path))


def _features(path: Path) -> int:
    last = path.recurrent()
    return 0 if last is None else last._features


def place(path: Path, step: Step) -> tuple[str | None, int | None]:
    """The axis of which a Gather takes one element, and which one: 0 or -1."""
    node, at = step.build.node, step.build.constant(1)
    if node.op != "Gather" or at is None or at.ndim or node.inputs[0] != path.value:
        return None, None
    return path.axes[step.build.integer("axis", 0)], int(at)


def _states(path: Path, step: Step) -> bool:
    """The last states of all levels, of which the value is that of the last one."""
    node = step.build.node
    if path.axes[0] != DIRECTIONS or _directions(path) != 1 or node.inputs[-1] != path.value:
        return False
    path.axes = (LEVELS, *path.axes[1:])
    return step.build.integer("axis", 0) == 0


def _gather(path: Path, step: Step) -> bool:
    axis, at = place(path, step)
    if axis == LEVELS and at == -1:
        path.without(LEVELS)
        return True
    if axis == DIRECTIONS and at in (0, -1):
        return _removed(path, step, DIRECTIONS)
    if axis is None or at not in (0, -1) or path.axes[-1] != FEATURES or len(path.axes) != 3:
        return False
    if not path.is_time(axis):
        return False
    path.without(axis)
    path.add(step.build.node.name, LastStep(reverse=at == 0))
    return at == 0 or not _is_reversed(path)


def _is_reversed(path: Path) -> bool:
    """Whether LastStep would be the first one here, since a layer ran from the end."""
    last = path.recurrent()
    return last is not None and last.reverse


def _slice(path: Path, step: Step) -> bool:
    """The last step, with its axis."""
    parts = [step.build.constant(index) for index in range(1, 5)]
    if any(part is None or part.size != 1 for part in parts[:3]):
        return False
    begin, end, number = (ints(part)[0] for part in parts[:3])
    if (parts[3] is not None and ints(parts[3]) != [1]) or begin != -1 or end < 1 << 30:
        return False
    if _is_reversed(path) or not path.is_time(path.axes[number]):
        return False
    path.axes = tuple(LAST if axis == path.time else axis for axis in path.axes)
    return True


def _reduce(path: Path, step: Step) -> bool:
    listed, op = _listed(step), step.build.node.op
    if listed is None or len(listed) != 1:
        return False
    axis = path.axes[listed[0]]
    keeps = step.build.flag("keepdims", True)
    if axis == DIRECTIONS and not keeps and _directions(path) == 2:
        path.without(axis)
        path.replace(merge_mode=_MERGES[op])
        return True
    if op != "ReduceMean" or len(path.axes) != 3 or not path.is_time(axis):
        return False
    path.axes = tuple(MEAN if one == axis else one for one in path.axes)
    return keeps or _removed(path, step, MEAN)


def _mean(path: Path, step: Step) -> bool:
    """Of all that is behind the first two axes, which stay as axes of one element."""
    path.expect(step.build.node.name, "batch", FEATURES, "time")
    path.axes = tuple(MEAN if axis == path.time else axis for axis in path.axes)
    return True


def _flatten(path: Path, step: Step) -> bool:
    """One that leaves out a last axis of one element."""
    last = path.axes[-1]
    if step.build.integer("axis", 1) != 1 or len(path.axes) != 3 or last not in (LAST, MEAN):
        return False
    return _removed(path, step, last)


def _max_pool(path: Path, step: Step) -> bool:
    build = step.build
    path.expect(build.node.name, "batch", FEATURES, "time")
    kernel, before = build.integers("kernel_shape") or (0,), build.integers("pads") or (0, 0)
    odd = build.flag("ceil_mode") or build.flag("storage_order") or len(build.node.outputs) > 1
    if odd or build.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or len(kernel) != 1:
        return False
    if before[0] != before[-1]:
        return False
    strides, dilations = (build.integers(name) or (1,) for name in ("strides", "dilations"))
    layer = MaxPool1d(kernel[0], strides[0], before[0], dilations[0])
    path.add(build.node.name, layer)
    return True


STEPS: Mapping[str, Callable[[Path, Step], bool]] = {
    "Add": _shift,
    "Concat": _states,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gather": _gather,
    "GlobalAveragePool": _mean,
    "Identity": _same,
    "MaxPool": _max_pool,
    "Mul": _scale,
    "ReduceMean": _reduce,
    "ReduceProd": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Softmax": _softmax,
    **dict.fromkeys(FUNCTIONS, _function),
}
