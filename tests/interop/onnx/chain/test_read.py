"""Graphs that are layers one behind the other: those that torch exports, and what is no layer."""

import warnings

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import conversion

pytest.importorskip("onnx")

from tests.interop.onnx.graphs import TensorProto, helper, model_of, value

pytestmark = pytest.mark.usefixtures("in_place")


def modules():
    """Modules as people write them, and the layers that they are."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Recurrent(nn.Module):
        """The output, or the last state, to a linear layer."""

        def __init__(self, rnn, take):
            super().__init__()
            self.rnn, self.take = rnn, take
            self.out = nn.Linear(rnn.hidden_size * (2 if rnn.bidirectional else 1), 2)

        def forward(self, x):
            y, h = self.rnn(x)
            return torch.relu(self.out(self.take(y, h[0] if isinstance(h, tuple) else h)))

    class Convolutional(nn.Module):
        """Channels second, then features last."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv1d(3, 6, 3, padding=1), nn.BatchNorm1d(6)
            self.pool, self.rnn = nn.MaxPool1d(2), nn.GRU(6, 4, batch_first=True)
            self.mean, self.out = nn.AdaptiveAvgPool1d(1), nn.Linear(4, 2)

        def forward(self, x):
            x = self.pool(torch.relu(self.norm(self.conv(x.transpose(1, 2)))))
            y, _ = self.rnn(x.transpose(1, 2))
            return torch.sigmoid(self.out(self.mean(y.transpose(1, 2)).squeeze(-1)))

    first = {"batch_first": True}
    both = {**first, "bidirectional": True}
    end = ["Linear", "Activation"]
    return {
        "last": (Recurrent(nn.LSTM(3, 4, **first), lambda y, h: y[:, -1]), ["LSTM", "LastStep"]),
        "levels": (
            Recurrent(nn.GRU(3, 4, num_layers=2, **first), lambda y, h: h[-1]),
            ["GRU", "GRU", "LastStep"],
        ),
        "state": (Recurrent(nn.LSTM(3, 4), lambda y, h: h.squeeze(0)), ["LSTM", "LastStep"]),
        "time-first": (Recurrent(nn.LSTM(3, 4), lambda y, h: y[-1]), ["LSTM", "LastStep"]),
        "both": (Recurrent(nn.RNN(3, 4, **both), lambda y, h: y), ["RNN"]),
        "mean": (
            Recurrent(nn.LSTM(3, 4, **both), lambda y, h: y.mean(1)), ["LSTM", "MeanOverTime"],
        ),
        "ends": (
            Recurrent(nn.LSTM(3, 4, **both), lambda y, h: torch.cat([h[-2], h[-1]], 1)),
            ["LSTM", "LastStep"],
        ),
        "convolution": (
            Convolutional(),
            ["Conv1d", "Activation", "MaxPool1d", "GRU", "MeanOverTime"],
        ),
    }, end  # fmt: skip


NAMES = ("last", "levels", "state", "time-first", "both", "mean", "ends", "convolution")


@pytest.mark.parametrize("name", NAMES)
def test_models_that_torch_exports(name, tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    found, end = modules()
    module, kinds = found[name]
    module.eval()
    x = torch.randn(5, 8, 3)
    axes = {"x": {0: "N", 1: "T"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of sizes that it takes as fixed
        path = tmp_path / "m.onnx"
        torch.onnx.export(module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
    holding = conversion.read(tmp_path / "m.onnx")
    assert not holding.left
    assert [type(layer).__name__ for layer in holding.layers.values()] == kinds + end
    model = pyrnn.Sequential(*holding.layers.values()).eval()
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(model(x.numpy())[0], expected, rtol=1e-5, atol=1e-6)


X = np.zeros((5, 2, 3), np.float32)


def graph_of(nodes, **weights):
    """A GRU over x with other nodes behind it."""
    r = np.random.default_rng(0)
    arrays = {
        "W": r.standard_normal((1, 9, 3)).astype(np.float32),
        "R": r.standard_normal((1, 9, 3)).astype(np.float32),
        "one": np.array([1]), "zero": np.array(0), "end": np.array(-1), **weights,
    }  # fmt: skip
    made = [
        helper.make_node(op, inputs.split(","), outputs.split(","), name=name, **attributes)
        for name, op, inputs, outputs, attributes in nodes
    ]
    return model_of(made, {"x": X}, [value("y", TensorProto.FLOAT)], arrays)


GRU = ("gru", "GRU", "x,W,R", "Y,h", {"hidden_size": 3})
ROWS = ("rows", "Squeeze", "Y,one", "s", {})
LEFT = {
    "an operator": ([GRU, ROWS, ("p", "LogSoftmax", "s", "y", {})], "p: LogSoftmax is no layer"),
    "two readers": (
        [GRU, ROWS, ("a", "Tanh", "s", "t", {}), ("b", "Add", "s,t", "y", {})],
        "s: expected one node to read it, got a, b",
    ),
    "axes": (
        [GRU, ROWS, ("t", "Transpose", "s", "y", {"perm": [1, 0, 2]})],
        "y: its axes are in the order 1, 0, features",
    ),
    "a state of the file": (
        [
            ("gru", "GRU", "x,W,R,,,h0", "Y,h", {"hidden_size": 3}), ROWS,
            ("t", "Tanh", "s", "y", {}),
        ],
        "h0: an initial state that the file holds is no part of a layer",
    ),
    "a middle step": (
        [GRU, ROWS, ("g", "Gather", "s,two", "y", {"axis": 0})],
        "g: Gather is no layer",
    ),
    "the last step after a reverse layer": (
        [
            ("gru", "GRU", "x,W,R", "Y,h", {"hidden_size": 3, "direction": "reverse"}),
            ROWS, ("g", "Gather", "s,end", "y", {"axis": 0}),
        ],
        "g: Gather is no layer",
    ),
    "channels last": (
        [GRU, ROWS, ("p", "MaxPool", "s", "y", {"kernel_shape": [2]})],
        "p: expected the axes batch, features, time, got 0, 1, features",
    ),
    "a layer on its side": (
        [
            GRU, ROWS, ("t", "Transpose", "s", "u", {"perm": [0, 2, 1]}),
            ("m", "MatMul", "u,V", "y", {}),
        ],
        "m: expected features as the last axis",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_is_no_layer_is_named(name, tmp_path):
    nodes, message = LEFT[name]
    weights = {
        "h0": np.ones((1, 2, 3), np.float32), "two": np.array(2), "V": np.ones((2, 4), np.float32),
    }  # fmt: skip
    used = {part for _, _, inputs, _, _ in nodes for part in inputs.split(",")}
    model = graph_of(nodes, **{key: array for key, array in weights.items() if key in used})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    holding = conversion.read(tmp_path / "m.onnx")
    said = [f"{key}: {reason}" for key, reason in holding.left.items()]
    assert said[0].startswith(message), said
    assert "gru" in holding.layers
    with pytest.raises(conversion.ConversionError, match="expected a model that is layers"):
        conversion.write(holding, tmp_path / "n.keras")


def test_states_from_zeros_are_no_obstacle(tmp_path):
    nodes = [("gru", "GRU", "x,W,R,,,h0", "Y,h", {"hidden_size": 3}), ROWS]
    nodes.append(("t", "Tanh", "s", "y", {}))
    model = graph_of(nodes, h0=np.zeros((1, 2, 3), np.float32))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    holding = conversion.read(tmp_path / "m.onnx")
    assert not holding.left
    assert list(map(repr, holding.layers.values()))[1:] == ["Activation()"]


@pytest.mark.parametrize(
    "function",
    [
        "softsign",
        "elu",
        ("leaky_relu", 0.2),
        ("hard_sigmoid", 0.25, 0.4),
        ("thresholded_relu", 0.3),
    ],
)
def test_activations_with_their_numbers(function, tmp_path):
    layers = [pyrnn.Linear(3, 4, seed=0), pyrnn.Activation(function)]
    pyrnn.save(pyrnn.Sequential(*layers), tmp_path / "m.safetensors")
    conversion.write(conversion.read(tmp_path / "m.safetensors"), tmp_path / "m.onnx")
    found = conversion.read(tmp_path / "m.onnx").layers
    assert [repr(layer) for layer in found.values()] == [repr(layer) for layer in layers]


@pytest.mark.parametrize("function", [("affine", 0.3, -0.2), ("scaled_tanh", 1.7, 0.6)])
def test_activations_that_are_no_operator(function, tmp_path):
    onnx = pytest.importorskip("pyrnn.interop.onnx")
    model = pyrnn.Sequential(pyrnn.Linear(3, 4, seed=0), pyrnn.Activation(function)).eval()
    onnx.save(model, tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    y = onnx.prepare(tmp_path / "m.onnx").run([x])[0]
    np.testing.assert_allclose(y, model(x)[0], rtol=1e-6, atol=1e-7)
