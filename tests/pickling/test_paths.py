"""What pickles call things: by the modules in which users find them, which stay."""

import pickle
import pickletools

import numpy as np
import pytest

import pyrnn
from pyrnn.diagnostics import gradient_flow
from pyrnn.interop.onnx.graph import Graph, Program, Value
from pyrnn.interop.onnx.model import Model
from pyrnn.interop.torch import Placeholder

PUBLIC = {"pyrnn", "pyrnn.text", "pyrnn.losses", "pyrnn.serialization"}
PUBLIC |= {"pyrnn.optim.lr_scheduler", "pyrnn.diagnostics", "pyrnn.interop.torch"}
PUBLIC |= {"pyrnn.interop.onnx"}


def named(data):
    """The pairs (module, name) that a pickle imports from pyrnn."""
    strings, found = [], set()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "STACK_GLOBAL":
            found.add((strings[-2], strings[-1]))
        elif opcode.name == "GLOBAL":
            found.add(tuple(argument.split(" ")))
        if isinstance(argument, str):
            strings.append(argument)
    return {(module, name) for module, name in found if module.split(".")[0] == "pyrnn"}


def things():
    """Everything that travels, by name."""
    x = np.ones((3, 2, 5), np.float32)
    for kind in (pyrnn.RNN, pyrnn.LSTM, pyrnn.GRU, pyrnn.MinGRU):
        layer = kind(5, 4, 2, seed=0)
        yield kind.__name__, layer
        yield f"{kind.__name__} in eval mode", kind(5, 4, 2, seed=0).eval()
        yield f"{kind.__name__}'s stream", layer.stream(2)
        yield f"{kind.__name__} and its stream", (layer, layer.stream(2))
        y, _, cache = layer.forward(x)
        _, _, grads = layer.backward(cache, np.ones_like(y))
        yield f"{kind.__name__}'s cache and gradients", (cache, grads)
        yield f"{kind.__name__}'s parameters", layer.parameters
    for cell in (pyrnn.RNNCell, pyrnn.LSTMCell, pyrnn.GRUCell, pyrnn.Linear, pyrnn.Embedding):
        yield cell.__name__, cell(5, 4, seed=0)
    conv = pyrnn.Conv1d(5, 5, 2, padding="causal", seed=0)
    yield "batch norm", [pyrnn.BatchNorm1d(5), pyrnn.BatchNorm1d(5, affine=False).eval()]
    yield "over time", [pyrnn.MaxPool1d(2), pyrnn.InstanceNorm1d(5, affine=True)]
    yield "Conv1d", (conv, conv.eval(), conv.stream(2))
    small = [pyrnn.Dropout(seed=0), pyrnn.Activation(), pyrnn.LayerNorm(5), pyrnn.LastStep()]
    sequential = pyrnn.Sequential(pyrnn.GRU(5, 5, seed=0), *small)
    yield "sequential", [sequential, pyrnn.MeanOverTime()]
    yield "stream of layers", pyrnn.Sequential(pyrnn.GRU(5, 5, seed=0), pyrnn.Dropout()).stream()
    model = pyrnn.CharacterModel("abc", embedding_dim=2, seed=0)
    logits, _, model_cache = model.forward(np.zeros((3, 2), int))
    model.backward(model_cache, np.ones_like(logits))
    yield "model", (model, model_cache)
    for optimizer in (pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW):
        yield optimizer.__name__, optimizer(model.parameters)
    adam = pyrnn.Adam(model.parameters)
    for name in ("StepLR", "LinearLR", "ReduceLROnPlateau"):
        schedule = getattr(pyrnn.optim.lr_scheduler, name)
        yield name, schedule(adam, 3) if name == "StepLR" else schedule(adam)
    yield "packed", pyrnn.pack_sequence([np.ones((3, 2), "f")])
    yield "corpus", pyrnn.text.split(["abcdefgh"])
    names = [getattr(pyrnn, name) for name in pyrnn.__all__]
    yield "names", [value for value in names if is_a_thing(value)]
    yield "names of text", [value for value in vars(pyrnn.text).values() if is_a_thing(value)]
    yield "losses", [getattr(pyrnn.losses, name) for name in pyrnn.losses.__all__]
    linear = pyrnn.Linear(3, 2, dtype="float64", seed=0)
    yield "report", pyrnn.gradcheck(linear, np.ones((2, 3)))
    yield "flow", (gradient_flow, gradient_flow(pyrnn.RNN(5, 4, seed=0), x))
    yield "graph", Model(Program(Graph("", (Value("x"),), (Value("x"),), {}, ()), 13))
    yield "placeholder", Placeholder("numpy.poly1d", (1,), {"order": 2})
    yield "errors", [pyrnn.text.TextError("a"), pyrnn.serialization.ModelFileError("a")]


def is_a_thing(value):
    return callable(value) and hasattr(value, "__module__")


THINGS = dict(things())


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("name", THINGS)
def test_public_paths_alone(name, protocol):
    data = pickle.dumps(THINGS[name], protocol)
    found = named(data)
    assert found
    assert {module for module, _ in found} <= PUBLIC
    for module, attribute in found:
        hidden = attribute.startswith("_")
        assert hidden == (attribute not in dir(__import__(module, fromlist=["x"])))


def test_names_of_pickles_are_no_public_names():
    assert set(pyrnn._PICKLED).isdisjoint(dir(pyrnn))
    for name in pyrnn._PICKLED:
        assert getattr(pyrnn, name).__name__ == name
