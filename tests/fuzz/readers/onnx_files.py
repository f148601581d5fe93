"""ONNX files that are spoiled: each is refused in one line, or is layers and a model that computes,
or says why not."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

import pyrnn
from pyrnn.interop.onnx.graph import UnsupportedError
from pyrnn.interop.onnx.operators import _build
from pyrnn.serialization import ModelFileError
from tests.fuzz.case import Case
from tests.fuzz.draw import Draw
from tests.fuzz.readers.common import Reader, each, in_one_line, made_apart, parameters_of, placed
from tests.fuzz.spoil.files import BYTES, SPLICES
from tests.fuzz.spoil.trees import spoil_message

SOURCES, PLAIN = 48, 40
NAMES = ("expected", "node", "reads", "implemented")
"""What an error says at least one of."""
ERRORS = (ModelFileError, UnsupportedError)
MOST_NUMBERS = 1 << 12
"""Of an input that a model is run with, and of what operators make of it."""


def _spoiled_onnx(draw: Draw) -> Case:
    """A small model with a few mutations, of its bytes or of what they say."""
    draw.mutations = 0  # the file has them
    data = draw.choice(onnx_sources())
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = _spoiled(draw, data)
    return Case({"file": data}, _read_onnx, names=NAMES, errors=(ModelFileError,))


def _spoiled(draw: Draw, data: bytes) -> bytes:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    kind = draw.random.random()
    if kind < 0.25:
        return draw.choice(BYTES[:-1])(draw, data)
    if kind < 0.3:
        return draw.choice(SPLICES)(draw, data, draw.choice(onnx_sources()))
    try:
        model = ModelProto.FromString(data)
    except DecodeError:
        return draw.choice(BYTES[:-1])(draw, data)
    try:
        spoil_message(draw, model)
        changed: bytes = model.SerializeToString()
    except (ValueError, TypeError, UnicodeDecodeError):  # what protobuf itself does not take
        return draw.choice(BYTES[:-1])(draw, data)
    return changed


@functools.lru_cache(None)
def onnx_sources() -> list[bytes]:
    """The small models; their maker's imports stay in its process."""
    made: list[bytes] = made_apart(each, onnx_source, SOURCES)
    return made


def onnx_source(number: int) -> bytes:
    """One of the small models: layers that pyrnn wrote, drawn operators, a graph of many kinds, and
    from ``PLAIN`` on those that are quantised."""
    from pyrnn.interop.onnx.write import to_model
    from tests.interop.onnx import settings
    from tests.interop.onnx.graphs import helper, model_of

    if number >= PLAIN:
        return _quantised(number)
    if number % 4 == 0:
        made: Any = to_model(some_layers(number))
    elif number % 4 == 3:
        made = _broad(number)
    else:
        kind, attributes, given = settings.draw(number)
        names = [name if array is not None else "" for name, array in given.items()]
        constants = {n: a for n, a in given.items() if n != "X" and a is not None}
        outputs = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
        node = helper.make_node(kind, names, outputs, name="cell", **attributes)
        made = model_of([node], {"X": given["X"]}, outputs, constants)
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def _quantised(number: int) -> bytes:
    """As onnxruntime's quantizer makes them: an LSTM, products of bytes and what is around them."""
    from tests.interop.onnx.graphs import helper, numpy_helper, value

    r = np.random.default_rng(number)
    dtype, columns = (np.int8, np.uint8)[number % 2], number // 2 % 2

    def whole(*shape: int) -> Any:
        return r.integers(np.iinfo(dtype).min, 127, shape, dtype)

    def scales(*shape: int) -> Any:
        return r.uniform(0.001, 0.02, shape).astype(np.float32)

    def node(op: str, inputs: str, outputs: str, domain: str = "", **attributes: Any) -> Any:
        names = [name.replace("-", "") for name in inputs.split()]  # "-" is an input left out
        return helper.make_node(op, names, outputs.split(), domain=domain, **attributes)

    of_gates = (1, 16) if columns else (1,)
    zero = np.zeros((), np.uint8)
    constants = {
        "W": whole(1, 3, 16), "R": whole(1, 4, 16), "B": scales(1, 32), "ws": scales(*of_gates),
        "wz": np.zeros(of_gates, dtype), "rs": scales(*of_gates), "rz": np.zeros(of_gates, dtype),
        "axes": np.array([1]), "V": whole(4, 5), "vz": np.zeros(5 * columns or (), dtype),
        "vs": scales(*[5] * columns), "U": whole(5, 3), "us": scales(*[3] * columns),
        "uz": np.zeros(3 * columns or (), dtype), "qs": scales(), "qz": zero,
        "K": whole(2, 2, 1), "kz": np.zeros((), dtype),
    }  # fmt: skip
    microsoft = "com.microsoft"
    nodes = [
        node("DynamicQuantizeLSTM", "x W R B - - - - ws wz rs rz", "y h c", microsoft,
             hidden_size=4),
        node("Squeeze", "y axes", "flat"),
        node("DynamicQuantizeLinear", "flat", "q s z"),
        node("MatMulInteger", "q V z vz", "sums"),
        node("Cast", "sums", "floats", to=1),
        node("Mul", "floats s", "scaled"),
        node("DynamicQuantizeMatMul", "scaled U us uz", "again", microsoft),
        node("QuantizeLinear", "again qs qz", "bytes"),
        node("DequantizeLinear", "bytes qs qz", "out"),
        node("MatMulIntegerToFloat", "q V s vs z vz", "other", microsoft),
        node("ConvInteger", "q K z kz", "convolved", kernel_shape=[1]),
    ]  # fmt: skip
    x = r.standard_normal((2, 2, 3)).astype(np.float32)
    results = ("out", "other", "convolved", "h", "c")
    graph = helper.make_graph(
        nodes, "g", [value("x", x)],
        [helper.make_empty_tensor_value_info(name) for name in results],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(microsoft, 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def some_layers(number: int) -> list[pyrnn.Layer]:
    kind = (pyrnn.RNN, pyrnn.LSTM, pyrnn.GRU)[number // 4 % 3]
    cell = kind(3, 4, 1 + number // 8 % 2, bidirectional=number % 3 == 0, seed=number)
    last = pyrnn.LastStep(bidirectional=cell.bidirectional)
    end = [last, pyrnn.Activation("relu")] if number % 8 == 0 else [pyrnn.MeanOverTime()]
    end = end if number % 3 else []
    made: list[pyrnn.Layer] = [cell, *end, pyrnn.Linear(4 * cell.num_directions, 2, seed=number)]
    return [pyrnn.Embedding(5, 3, seed=0), *made] if number % 5 == 0 else made


def _broad(number: int) -> Any:
    """Operators around a recurrent one, as exported models have them."""
    from tests.interop.onnx.graphs import TensorProto, helper, model_of, numpy_helper, value

    r = np.random.default_rng(number)

    def numbers(*shape: int) -> Any:
        return (r.standard_normal(shape) / 2).astype(np.float32)

    def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
        return helper.make_node(op, inputs.split(), outputs.split(), name=outputs, **attributes)

    constants = {
        "K": numbers(3, 2, 3), "k": numbers(3), "s": numbers(3), "m": numbers(3),
        "v": np.abs(numbers(3)), "pads": np.array([0, 0, 1, 0, 0, 1]), "W": numbers(1, 12, 3),
        "R": numbers(1, 9, 3), "axes": np.array([1]), "begin": np.array([0]),
        "end": np.array([2**31 - 1]), "shape": np.array([0, -1]), "G": numbers(3, 5),
        "g": numbers(5), "rows": np.array([0, 2]), "wide": np.array([2, 5]),
        "W3": numbers(1, 9, 3),
    }  # fmt: skip
    then = helper.make_graph(
        [node("Softmax", "gemm", "t", axis=-1)], "then", [], [value("t", TensorProto.FLOAT)]
    )
    other = helper.make_graph(
        [node("Relu", "gemm", "e")], "else", [], [value("e", TensorProto.FLOAT)]
    )
    nodes = [
        node("Pad", "x pads", "padded"),
        node("Conv", "padded K k", "conv", kernel_shape=[3], strides=[1], pads=[0, 0]),
        node("BatchNormalization", "conv s m k v", "norm"),
        node("LeakyRelu", "norm", "leaky", alpha=0.1),
        node("Transpose", "leaky", "time", perm=[2, 0, 1]),
        node("GRU", "time W3 R", "y h", hidden_size=3, direction="forward"),
        node("Squeeze", "y axes", "flat"),
        node("Slice", "flat begin end begin", "cut"),
        node("ReduceMean", "cut", "mean", axes=[0], keepdims=0),
        node("Gemm", "mean G g", "gemm", transB=0),
        node("Shape", "gemm", "size"),
        node("ConstantOfShape", "size", "zeros",
             value=numpy_helper.from_array(np.array([1.0], np.float32))),
        node("Add", "gemm zeros", "added"),
        node("Gather", "added rows", "picked", axis=1),
        node("Cast", "rows", "whole", to=TensorProto.FLOAT),
        node("Expand", "g wide", "broad"),
        node("ReduceSum", "broad", "sum", keepdims=0),
        node("Greater", "sum k0", "yes"),
        helper.make_node("If", ["yes"], ["p"], name="if", then_branch=then, else_branch=other),
        node("Concat", "p picked", "out", axis=1),
    ]  # fmt: skip
    constants["k0"] = np.float32(0.0).reshape(())
    del constants["W"]
    x = numbers(2, 2, 4)
    return model_of(nodes, {"x": x}, [value("out", TensorProto.FLOAT), "whole"], constants)


def _read_onnx(a: dict[str, Any]) -> Any:
    from pyrnn.interop.onnx import nodes, prepare, read
    from pyrnn.interop.onnx.chain.read import chain

    with placed(a["file"], "model.onnx") as path:
        program = in_one_line(path, lambda: read.read(path), ERRORS, 1000)
        walked = list(nodes.steps(program))
        found = nodes.found_in(walked)
        _chained(chain(program, walked))
        model = in_one_line(path, lambda: prepare(str(path)), ERRORS, 1000, begins_with_path=False)
        try_to_run(model)
    return parameters_of(found.layers)


def _chained(whole: Any) -> None:
    """Why something of a graph is no layer is one line each; else its layers are a composition.

    Names are the file's own, whatever is in them; commands show them escaped.
    """
    if any("\n" in reason for reason in whole.left.values()):
        raise AssertionError(f"several lines: {whole.left!r}")
    if not whole.left:
        pyrnn.Sequential(*whole.layers.values())


def try_to_run(model: Any) -> None:
    """Run a model with small inputs: it computes, or refuses them in words."""
    inputs = []
    for value in model.program.graph.inputs:
        shape = tuple(2 if size is None else size for size in value.shape or (2, 2, 2))
        if any(not 0 <= size <= MOST_NUMBERS for size in shape) or math.prod(shape) > MOST_NUMBERS:
            return
        inputs.append(np.ones(shape, value.dtype or np.float32))
    token = _build._most_numbers.set(MOST_NUMBERS)
    try:
        model.run(inputs)
    except (ValueError, TypeError, NotImplementedError, MemoryError) as error:
        if "\n" in str(error):
            raise AssertionError(f"several lines: {str(error)[:300]!r}") from error
    except Exception as error:
        raise AssertionError(f"run: {type(error).__name__}: {error}") from error
    finally:
        _build._most_numbers.reset(token)


READER = Reader(
    "onnx", _spoiled_onnx, ("interop.onnx.layers", "interop.onnx.prepare"), onnx_sources,
    ("onnx",), 0.5,
)  # fmt: skip
