"""The operations ``keras.ops`` in a model of Keras 3, which it saves as if they were layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrnn.interop.keras.graphs import activations, merging
from pyrnn.interop.keras.graphs.builder import (
    Builder,
    Shape,
    Tensor,
    axes_of,
    axis_of,
    number_of,
)
from pyrnn.interop.keras.graphs.operations import parts
from pyrnn.interop.keras.graphs.operations.parts import Argument, Config, Maker
from pyrnn.interop.keras.hdf5 import ContentError

_ONE = {
    "Abs": "Abs", "Absolute": "Abs", "Cos": "Cos", "Erf": "Erf", "Exp": "Exp", "Floor": "Floor",
    "Ceil": "Ceil", "Log": "Log", "Negative": "Neg", "Reciprocal": "Reciprocal", "Round": "Round",
    "Sign": "Sign", "Sin": "Sin", "Sqrt": "Sqrt",
}  # fmt: skip
_ACTIVATIONS = {
    "Celu": "celu", "Elu": "elu", "HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh", "LogSigmoid": "log_sigmoid", "Relu": "relu", "Relu6": "relu6",
    "Selu": "selu", "Sigmoid": "sigmoid", "Silu": "silu", "Softplus": "softplus",
    "Softsign": "softsign", "Tanh": "tanh", "Mish": "mish", "Squareplus": "squareplus",
    "SparsePlus": "sparse_plus", "SparseSigmoid": "sparse_sigmoid", "TanhShrink": "tanh_shrink",
}  # fmt: skip
_COMPARED = {
    "Equal": ("Equal", False), "NotEqual": ("Equal", True), "Greater": ("Greater", False),
    "GreaterEqual": ("GreaterOrEqual", False), "Less": ("Less", False),
    "LessEqual": ("LessOrEqual", False),
}  # fmt: skip
_LOGICAL = {"LogicalAnd": "And", "LogicalOr": "Or", "LogicalXor": "Xor", "BitwiseAnd": "And",
            "BitwiseOr": "Or"}  # fmt: skip
_REDUCED = {"Mean": "ReduceMean", "Sum": "ReduceSum", "Max": "ReduceMax", "Min": "ReduceMin",
            "Prod": "ReduceProd", "All": "ReduceMin", "Any": "ReduceMax",
            "Amax": "ReduceMax", "Amin": "ReduceMin"}  # fmt: skip
_LAYERS_TOO = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate", "Reshape",
               "Softmax", "Identity")  # fmt: skip
"""Names that layers have as well."""
_SAME = ("ConvertToTensor", "Copy", "StopGradient", "Identity")


def is_operation(builder: Builder, layer: Mapping[str, Any]) -> bool:
    """Whether an entry among the layers is an operation; an ``.h5`` file does not say of which."""
    if "module" in layer:
        return "ops" in str(layer["module"]).split(".")
    config = layer.get("config")
    formed = isinstance(config, dict) and "newshape" in config
    return not builder.old and (formed or layer.get("class_name") not in _LAYERS_TOO)


def operation(
    builder: Builder, class_name: str, config: Config, arguments: Sequence[Argument]
) -> list[Tensor] | None:
    """What an operation gives, or None if it is none that is known.

    ``config`` has what the call says by name as well.
    """
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    x = tensors[0]
    two = class_name in _LOGICAL or class_name in _COMPARED or class_name in _OF_TWO
    if not two and not isinstance(arguments[0], Tensor):
        raise ContentError(f"expected an array first, got {str(arguments[0])[:50]}")
    if class_name in _SAME:
        return [x]
    if class_name in _ONE:
        return [_plain(x, builder.op(_ONE[class_name], _floats(builder, x)))]
    if class_name in _ACTIVATIONS:
        y = activations.activation(builder, _ACTIVATIONS[class_name], _floats(builder, x), "3")
        return [_plain(x, y)]
    if class_name in _REDUCED:
        return [_reduced(builder, config, x, class_name)]
    if two:
        return [_of_two(builder, class_name, arguments)]
    if class_name in _MAKERS:
        return _MAKERS[class_name](builder, config, arguments)
    return None


def _plain(x: Tensor, name: str) -> Tensor:
    return Tensor(name, x.shape)


def _floats(builder: Builder, x: Tensor) -> str:
    return builder.of_kind(x, "float").name


# --- two arrays, or one and a number --------------------------------------------------------

_OF_TWO = {
    "Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div", "TrueDivide": "Div",
    "Maximum": "Max", "Minimum": "Min", "Power": "Pow",
}  # fmt: skip


def _of_two(builder: Builder, class_name: str, arguments: Sequence[Argument]) -> Tensor:
    """Axes that one of them does not have are missing in front, as in NumPy."""
    if len(arguments) != 2:
        raise ContentError(f"expected two arrays, got {len(arguments)}")
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    logical = class_name in _LOGICAL
    kinds = {one.kind for one in tensors}
    whole = kinds == {"int"} and all(
        isinstance(one, (Tensor, int)) and not isinstance(one, bool) for one in arguments
    )
    kind = "bool" if logical else "int" if whole else "float"
    names = []
    for one in arguments:
        if isinstance(one, Tensor):
            names.append(builder.of_kind(one, kind).name)
        elif logical:
            names.append(builder.constant(np.array(bool(one)), "flag"))
        elif whole:
            names.append(builder.constant(np.array(one, np.int64), "number"))
        else:
            names.append(builder.number(number_of(one, "a number")))
    shape = together([one.shape for one in tensors])
    if class_name in _COMPARED:
        op, turned = _COMPARED[class_name]
        y = builder.op(op, *names)
        return Tensor(builder.op("Not", y) if turned else y, shape, None, "bool")
    if logical:
        return Tensor(builder.op(_LOGICAL[class_name], *names), shape, None, "bool")
    if whole and class_name in ("Divide", "TrueDivide", "Power"):
        names = [builder.cast(name, builder.dtype) for name in names]
        kind = "float"
    return Tensor(builder.op(_OF_TWO[class_name], *names), shape, None, kind)


def together(shapes: Sequence[Shape]) -> Shape:
    """The shape of arrays that are broadcast as in NumPy."""
    axes = max(len(shape) for shape in shapes)
    full = [(1,) * (axes - len(shape)) + shape for shape in shapes]
    return merging.broadcast(full, shapes)


def _where(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    if len(arguments) != 3:
        raise ContentError("expected flags and two arrays or numbers")
    flags = builder.of_kind(arguments[0], "bool")
    names = [
        _floats(builder, one) if isinstance(one, Tensor)
        else builder.number(number_of(one, "a number"))
        for one in arguments[1:]
    ]  # fmt: skip
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    y = builder.op("Where", flags.name, *names)
    return [Tensor(y, together([one.shape for one in tensors]))]


# --- along axes -----------------------------------------------------------------------------


def _reduced(builder: Builder, config: Config, x: Tensor, class_name: str) -> Tensor:
    """A sum, a mean and so on along one axis, several or all of them."""
    given = config.get("axis")
    count = len(x.shape)
    axes = tuple(range(count)) if given is None else axes_of(given, count)
    if config.get("initial") is not None or config.get("where") is not None:
        raise ContentError("initial and where are not implemented")
    keep = bool(config.get("keepdims"))
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)
                  if keep or axis not in axes)  # fmt: skip
    flags = class_name in ("All", "Any")
    if flags:
        name = builder.cast(builder.of_kind(x, "bool").name, np.int32)
    else:
        name = x.name if x.kind == "int" and class_name != "Mean" else _floats(builder, x)
    op = _REDUCED[class_name]
    if op == "ReduceSum":
        y = builder.op(op, name, builder.integers(*axes), keepdims=int(keep))
    else:
        y = builder.op(op, name, axes=axes, keepdims=int(keep))
    if flags:
        return Tensor(builder.cast(y, np.bool_), shape, None, "bool")
    return Tensor(y, shape, None, "int" if x.kind == "int" and class_name != "Mean" else "float")


def _softmax(op: str) -> Maker:
    def made(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
        x = arguments[0]
        axis = axis_of(config.get("axis", -1), len(x.shape))
        return [_plain(x, builder.op(op, _floats(builder, x), axis=axis))]

    return made


def _number_given(config: Config, names: Sequence[str], usual: float | None) -> float:
    given = next((config[name] for name in names if config.get(name) is not None), usual)
    return number_of(given, names[0])


def _clipped(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    ends = [_number_given(config, [name], None) for name in ("x_min", "x_max")]
    names = [builder.number(end) for end in ends]
    return [_plain(x, builder.op("Clip", _floats(builder, x), *names))]


def _gelu(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    about = bool(config.get("approximate", True))
    return [_plain(x, activations.gelu(builder, _floats(builder, x), about))]


def _leaky_relu(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    slope = _number_given(config, ["negative_slope"], 0.2)
    return [_plain(x, builder.op("LeakyRelu", _floats(builder, x), alpha=slope))]


def _square(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    return [x._replace(name=builder.op("Mul", x.name, x.name), mask=None)]


def _rsqrt(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    return [_plain(x, builder.op("Reciprocal", builder.op("Sqrt", _floats(builder, x))))]


def _cast(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    """To the graph's floats, to whole numbers or to flags."""
    kind = _kind(config, arguments[1:])
    return [builder.of_kind(arguments[0], kind)._replace(mask=None)]


def _kind(config: Config, more: Sequence[Argument], usual: str = "") -> str:
    """What is known here of a dtype: "float", "int" or "bool"."""
    dtype = config.get("dtype") or next((one for one in more if isinstance(one, str)), usual)
    name = str(dtype)
    for kind in ("float", "int", "bool"):
        if kind in name:
            return kind
    raise ContentError(f"dtype: expected floats, whole numbers or bool, got {name[:50]}")


def _filled(value: int) -> Maker:
    def made(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
        x = arguments[0]
        kind = _kind(config, arguments[1:], x.kind)
        kinds: dict[str, Any] = {"float": builder.dtype, "int": np.int64, "bool": np.bool_}
        one = builder.constant(np.array([value], kinds[kind]), "value")
        y = builder.op("Expand", one, builder.op("Shape", x.name))
        return [Tensor(y, x.shape, None, kind)]

    return made


def _not(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = builder.of_kind(arguments[0], "bool")
    return [x._replace(name=builder.op("Not", x.name), mask=None)]


def _variance(root: bool) -> Maker:
    def made(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
        x = arguments[0]
        mean = _reduced(builder, {**config, "keepdims": True}, x, "Mean")
        off = builder.op("Sub", _floats(builder, x), mean.name)
        square = Tensor(builder.op("Mul", off, off), x.shape)
        y = _reduced(builder, config, square, "Mean")
        return [y._replace(name=builder.op("Sqrt", y.name)) if root else y]

    return made


def _cumulative(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    x = arguments[0]
    axis = axis_of(config.get("axis"), len(x.shape))
    kind = "int" if x.kind == "int" else "float"
    place = builder.constant(np.array(axis, np.int64), "axis")
    return [Tensor(builder.op("CumSum", builder.of_kind(x, kind).name, place), x.shape, None, kind)]


def _matmul(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    if len(tensors) != 2 or any(len(one.shape) < 2 for one in tensors):
        raise ContentError("expected two arrays of two axes at least")
    first, second = tensors
    if config.get("transpose_b"):
        order = [*range(len(second.shape) - 2), len(second.shape) - 1, len(second.shape) - 2]
        second = Tensor(
            builder.transposed(second.name, *order),
            tuple(second.shape[axis] for axis in order), None, second.kind,
        )  # fmt: skip
    if None not in (first.shape[-1], second.shape[-2]) and first.shape[-1] != second.shape[-2]:
        raise ContentError(f"expected arrays that fit, got {first.shape} and {second.shape}")
    around = together([(*first.shape[:-2], 1), (*second.shape[:-2], 1)])[:-1]
    y = builder.op("MatMul", _floats(builder, first), _floats(builder, second))
    return [Tensor(y, (*around, first.shape[-2], second.shape[-1]))]


def _einsum(builder: Builder, config: Config, arguments: Sequence[Argument]) -> list[Tensor]:
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    equation = str(config.get("subscripts")).replace(" ", "")
    given, arrow, made = equation.partition("->")
    terms = given.split(",")
    letters = equation.replace("->", "").replace(",", "")
    if not arrow or len(terms) != len(tensors) or not letters.isalpha() or len(letters) > 30:
        raise ContentError(f"subscripts: expected one term for each array, got {equation[:50]}")
    sizes: dict[str, int | None] = {}
    for term, one in zip(terms, tensors, strict=True):
        if len(term) != len(one.shape) or len(set(term)) != len(term):
            raise ContentError(f"subscripts: expected {len(one.shape)} letters, got {term[:50]}")
        for letter, size in zip(term, one.shape, strict=True):
            if None not in (size, sizes.get(letter)) and size != sizes[letter]:
                raise ContentError(f"expected arrays that fit, got {equation[:50]}")
            sizes[letter] = sizes.get(letter) or size
    if not set(made) <= set(sizes) or len(set(made)) != len(made):
        raise ContentError(f"subscripts: expected letters of the arrays, got {equation[:50]}")
    names = [_floats(builder, one) for one in tensors]
    y = builder.op("Einsum", *names, equation=equation)
    return [Tensor(y, tuple(sizes[letter] for letter in made))]


_MAKERS: Mapping[str, Maker] = {
    **parts.TABLE,
    "Cast": _cast,
    "Clip": _clipped,
    "Cumsum": _cumulative,
    "Einsum": _einsum,
    "Gelu": _gelu,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax("LogSoftmax"),
    "LogicalNot": _not,
    "Matmul": _matmul,
    "OnesLike": _filled(1),
    "Rsqrt": _rsqrt,
    "Softmax": _softmax("Softmax"),
    "Square": _square,
    "Std": _variance(True),
    "Var": _variance(False),
    "Where": _where,
    "ZerosLike": _filled(0),
}
