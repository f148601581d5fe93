"""Functions of TensorFlow in models of Keras 2, as the operations of Keras 3 that compute the same.

Keras 2 saves a call such as ``tf.reduce_sum(x, axis=1)`` as a layer ``TFOpLambda`` that names the
function, and ``x[:, -1]`` as a ``SlicingOpLambda``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyrnn.interop.keras.hdf5 import ContentError

LAMBDAS = ("TFOpLambda", "SlicingOpLambda")

_SAME_OPTIONS = {
    "abs": "Abs", "add": "Add", "concat": "Concatenate", "cumsum": "Cumsum", "divide": "Divide",
    "equal": "Equal", "exp": "Exp", "expand_dims": "ExpandDims", "greater": "Greater",
    "greater_equal": "GreaterEqual", "identity": "Identity", "less": "Less",
    "less_equal": "LessEqual", "log": "Log", "log_softmax": "LogSoftmax",
    "logical_and": "LogicalAnd", "logical_not": "LogicalNot", "logical_or": "LogicalOr",
    "maximum": "Maximum", "minimum": "Minimum", "mul": "Multiply", "multiply": "Multiply",
    "negative": "Negative", "neg": "Negative", "not_equal": "NotEqual", "ones_like": "OnesLike",
    "pow": "Power", "reduce_all": "All", "reduce_any": "Any", "reduce_max": "Max",
    "reduce_mean": "Mean", "reduce_min": "Min", "reduce_prod": "Prod", "reduce_std": "Std",
    "reduce_sum": "Sum", "reduce_variance": "Var", "relu": "Relu", "relu6": "Relu6",
    "reverse": "Flip", "rsqrt": "Rsqrt", "selu": "Selu", "elu": "Elu", "sigmoid": "Sigmoid",
    "silu": "Silu", "softmax": "Softmax", "softplus": "Softplus", "softsign": "Softsign",
    "sqrt": "Sqrt", "square": "Square", "squeeze": "Squeeze", "stack": "Stack",
    "stop_gradient": "StopGradient", "sub": "Subtract", "subtract": "Subtract", "tanh": "Tanh",
    "truediv": "TrueDivide", "where": "Where", "zeros_like": "ZerosLike", "cast": "Cast",
    "einsum": "Einsum", "matmul": "Matmul", "reshape": "Reshape", "transpose": "Transpose",
    "leaky_relu": "LeakyRelu", "gelu": "Gelu", "clip_by_value": "Clip", "getitem": "GetItem",
    "radd": "Add", "rmul": "Multiply", "rsub": "Subtract", "rtruediv": "TrueDivide",
    "rpow": "Power", "split": "Split",
}  # fmt: skip
_RENAMED = {
    "perm": "axes", "shape": "newshape", "clip_value_min": "x_min", "clip_value_max": "x_max",
    "num_or_size_splits": "indices_or_sections", "equation": "subscripts",
    "alpha": "negative_slope", "keep_dims": "keepdims", "reduction_indices": "axis",
}  # fmt: skip
_KNOWN = (*_RENAMED.values(), "approximate", "axis", "dtype")
_OPERANDS = ("x", "y", "a", "b", "t", "condition", "input_tensor", "tensor", "values", "features")
"""Names of arguments that are arrays or numbers, in the order of the call."""
_REFUSED = ("exclusive", "reverse", "transpose_a", "adjoint_a", "adjoint_b", "num", "conjugate")
_LEFT_OUT = ("name", "transpose_b", "slice_spec", *_REFUSED)


def translated(
    class_name: str, config: Mapping[str, Any], arguments: Sequence[Any], options: Mapping[str, Any]
) -> tuple[str, dict[str, Any], list[Any]]:
    """The operation, its options and its arguments.

    Raises
    ------
    ContentError
        If no operation is known that is this function.
    """
    function = "getitem" if class_name == "SlicingOpLambda" else str(config.get("function"))
    name = function.rpartition(".")[2]
    operation = _SAME_OPTIONS.get(name)
    if operation is None:
        raise ContentError(f"no graph is made of the function tf.{function[:80]}")
    given = list(arguments)
    named: dict[str, Any] = {}
    for key, value in options.items():
        if key in _REFUSED and value:
            raise ContentError(f"its call has the option {key}, which is not implemented")
        if key in _OPERANDS and value is not None:
            given.append(value)
        elif key not in _LEFT_OUT and value is not None:
            renamed = _RENAMED.get(key, key)
            if renamed not in _KNOWN:
                raise ContentError(f"its call has the option {key[:50]}, which is not implemented")
            named[renamed] = value
    if name in ("radd", "rmul", "rsub", "rtruediv", "rpow"):
        given.reverse()
    if options.get("transpose_b"):
        named["transpose_b"] = True
    if operation == "GetItem":
        given = [given[0], *(_place(one) for one in _listed(options.get("slice_spec")))]
    if operation == "LogSoftmax" or operation == "Softmax":
        named.setdefault("axis", -1)
    if operation == "Gelu":  # TensorFlow's default is the exact one
        named.setdefault("approximate", False)
    if operation == "Split" and isinstance(named.get("indices_or_sections"), list):
        named["indices_or_sections"] = _ends(named["indices_or_sections"])
    return operation, named, given


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _place(value: Any) -> Any:
    """One place of an index as Keras 3 writes it."""
    if isinstance(value, dict) and "start" in value:
        return {"class_name": "__slice__", "config": value}
    if value == "Ellipsis" or value == {"class_name": "__ellipsis__"}:
        return {"class_name": "__ellipsis__", "config": {}}
    return value


def _ends(sizes: list[Any]) -> list[int]:
    """The places between parts of these sizes."""
    found, total = [], 0
    for size in sizes[:-1]:
        if type(size) is not int or size < 1:
            raise ContentError("num_or_size_splits: expected whole numbers")
        total += size
        found.append(total)
    return found
