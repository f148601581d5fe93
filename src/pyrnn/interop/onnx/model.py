"""A whole model that runs with NumPy alone, from an ONNX file or from a converted one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.interop.onnx import pickling
from pyrnn.interop.onnx.graph import AnyArray, GraphError, Program, UnsupportedError, Value
from pyrnn.interop.onnx.plan import Plan, check_supported


@public("pyrnn.interop.onnx")
class Model:
    """An ONNX graph, ready to run; made by `prepare` or `load`.

    Recurrent operators, and products and convolutions (along one axis or two) with constant
    weights, run in pyrnn's core, with weights that are packed once; everything else runs in NumPy.
    float16 is computed in float32 there. A model may be called from several threads at once, and
    pickled; a copy shares nothing with it.

    Parameters
    ----------
    program : Program
        A graph in plain values.

    Raises
    ------
    UnsupportedError
        If the graph has operators, attributes or types that are not implemented; all operators are
        named.
    GraphError
        If the graph contradicts itself.

    Examples
    --------
    >>> import os, tempfile, numpy as np, pyrnn
    >>> from pyrnn.interop import onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "linear.onnx")
    ...     onnx.save(pyrnn.Linear(3, 2), path)
    ...     model = onnx.prepare(path)
    >>> model.inputs, model.outputs
    (['x'], ['y'])
    """

    def __init__(self, program: Program) -> None:
        check_supported(program)
        self.program = program
        self._given = program.graph.inputs
        self._names = [value.name for value in self._given]
        try:
            with np.errstate(all="ignore"):  # constants are computed here already
                self._plan = Plan(program.graph, program.opset)
        except RecursionError as error:
            raise GraphError("expected graphs that are nested less deeply") from error

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs, in order."""
        return self._names.copy()

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs, in order."""
        return [value.name for value in self.program.graph.outputs]

    def run(self, inputs: Any) -> tuple[AnyArray, ...]:
        """Compute the outputs.

        Parameters
        ----------
        inputs : sequence, dict or array
            An array for each input, in order or by name; a single array if there is one input.

        Returns
        -------
        tuple of arrays
            The outputs, in order.

        Raises
        ------
        TypeError, ValueError
            If an input is missing, or its dtype or shape is not that of the graph; or if the arrays
            do not fit each other (then the message names the node).

        Examples
        --------
        >>> import os, tempfile, numpy as np, pyrnn
        >>> from pyrnn.interop import onnx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "linear.onnx")
        ...     onnx.save(pyrnn.Linear(3, 2), path)
        ...     model = onnx.prepare(path)
        >>> (y,) = model.run({"x": np.ones((5, 3), np.float32)})
        >>> y.shape
        (5, 2)
        """
        ordered = self._in_order(inputs)
        values = [_checked(value, x) for value, x in zip(self._given, ordered, strict=True)]
        with np.errstate(all="ignore"):
            results = self._plan.run(values)
        return tuple([_own(array, values) for array in results])

    def _in_order(self, inputs: Any) -> list[Any]:
        names = self._names
        if type(inputs) is list and len(inputs) == len(names):  # sooner than asking for its kind
            return inputs
        if isinstance(inputs, Mapping):
            for name in names:
                if name not in inputs:
                    raise ValueError(f"inputs: expected {', '.join(names)}, got no {name!r}")
            for name in inputs:
                if name not in names:
                    raise ValueError(
                        f"inputs: expected {', '.join(names)}, got {_checks.shown(name)}"
                    )
            return [inputs[name] for name in names]
        if isinstance(inputs, np.ndarray) or not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        if len(inputs) != len(names):
            raise ValueError(
                f"inputs: expected {len(names)} ({', '.join(names)}), got {len(inputs)}"
            )
        return list(inputs)

    def __reduce__(self) -> Any:
        return restored, pickling.plain(self.program)

    def __copy__(self) -> Model:
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        nodes = len(self.program.graph.nodes)
        return f"Model({', '.join(self.inputs)} -> {', '.join(self.outputs)}; {nodes} nodes)"


@public("pyrnn.interop.onnx", "_restored")
def restored(*plain: Any) -> Model:
    """A model from its pickle."""
    return Model(pickling.program_of(*plain))


def _checked(value: Value, given: Any) -> AnyArray:
    array: AnyArray = given if type(given) is np.ndarray else np.asarray(given)
    dtype = array.dtype
    if dtype.kind not in "fiub":
        raise TypeError(f"{value.name}: expected an array of numbers, got dtype {array.dtype}")
    if value.dtype is not None and dtype is not value.dtype and dtype != value.dtype:
        raise TypeError(f"{value.name}: expected dtype {value.dtype}, got {array.dtype}")
    if not array.flags.aligned:
        array = array.copy()
    shape = array.shape
    if value.shape is not None and shape != value.shape and not _fits(shape, value.shape):
        wanted = ", ".join("any" if size is None else str(size) for size in value.shape)
        raise ValueError(f"{value.name}: expected shape ({wanted}), got {array.shape}")
    return array


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    if len(shape) != len(wanted):
        return False
    for size, given in zip(wanted, shape, strict=True):  # without a generator, which takes longer
        if size is not None and size != given:
            return False
    return True


def _own(result: Any, inputs: list[AnyArray]) -> AnyArray:
    """An output as an array of its own, that the caller may write into."""
    array: AnyArray = result if type(result) is np.ndarray else np.asarray(result)
    flags = array.flags
    if array.base is not None or not (flags.writeable and flags.c_contiguous):
        return array.copy()
    for given in inputs:
        if array is given:
            return array.copy()
    return array


__all__ = ["GraphError", "Model", "UnsupportedError"]
