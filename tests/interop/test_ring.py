"""Torch, pyrnn, ONNX, pyrnn, Keras, pyrnn, torch: every bit is the same, for drawn settings."""

import itertools

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import conversion, keras, onnx, stacking
from pyrnn.interop import torch as interop
from tests.conftest import LONG

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("h5py")

pytestmark = pytest.mark.usefixtures("in_place")

SEEDS = range(200 if LONG else 24)


def drawn(seed):
    """A module of torch with drawn settings and weights, zeros of both signs among these."""
    r = np.random.default_rng(seed)
    kind = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU)[seed % 3]
    options = {
        "num_layers": int(r.integers(1, 4)),
        "bidirectional": bool(r.integers(2)),
        "bias": bool(r.integers(4)),
        "batch_first": bool(r.integers(2)),
        "dtype": (torch.float32, torch.float32, torch.float64)[int(r.integers(3))],
    }
    if kind is torch.nn.RNN:
        options["nonlinearity"] = ("tanh", "relu")[int(r.integers(2))]
    torch.manual_seed(seed)
    module = kind(int(r.integers(1, 7)), int(r.integers(1, 9)), **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter[torch.rand_like(parameter) < 0.1] = 0.0
            parameter[torch.rand_like(parameter) < 0.1] = -0.0
            parameter[torch.rand_like(parameter) < 0.05] *= 1e-38
    return module


def assert_same(state, other):
    assert list(state) == list(other)
    for name, tensor in state.items():
        assert other[name].dtype == tensor.dtype
        assert other[name].numpy().tobytes() == tensor.numpy().tobytes(), name


@pytest.mark.parametrize("seed", SEEDS)
def test_ring(seed, tmp_path):
    module = drawn(seed)
    torch.save(
        {"model": {"rnn." + n: p for n, p in module.state_dict().items()}}, tmp_path / "a.pt"
    )
    first = interop.from_state_dict(
        interop.read(tmp_path / "a.pt")["model"],
        "rnn",
        nonlinearity=getattr(module, "nonlinearity", "tanh"),
        batch_first=module.batch_first,
    )
    onnx.save(first, tmp_path / "b.onnx")
    second = stacking.stack(list(onnx.layers(tmp_path / "b.onnx").values()))
    path = tmp_path / ("c.keras", "c.weights.h5")[seed % 2]
    keras.save({"rnn": second}, path)
    third = stacking.stack(list(keras.load(path).values()))
    interop.save(third, tmp_path / "d.pt")
    back = torch.load(tmp_path / "d.pt", weights_only=True)
    assert_same(module.state_dict(), back)
    other = type(module)(
        module.input_size, module.hidden_size, **settings(module), dtype=module.weight_ih_l0.dtype
    )
    other.load_state_dict(back)
    x = torch.randn(5, 2, module.input_size, dtype=module.weight_ih_l0.dtype)
    assert torch.equal(module(x)[0], other(x)[0])


def settings(module):
    names = ("num_layers", "bidirectional", "bias", "batch_first", "nonlinearity")
    return {name: getattr(module, name) for name in names if hasattr(module, name)}


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_ring_of_converted_files(seed, tmp_path):
    """The same by `pyrnn convert`, and through safetensors; relu is not in torch's files."""
    module = drawn(seed)
    if getattr(module, "nonlinearity", "tanh") == "relu":
        module.nonlinearity = "tanh"
    torch.save(module.state_dict(), tmp_path / "0.pt")
    ring = ("0.pt", "1.onnx", "2.keras", "3.safetensors", "4.weights.h5", "5.onnx", "6.pt")
    for source, target in itertools.pairwise(ring):
        holding = conversion.read(tmp_path / source)
        conversion.write(holding, tmp_path / target)
        assert not holding.refused
    back = torch.load(tmp_path / "6.pt")
    assert_same(module.state_dict(), {n.partition(".")[2]: tensor for n, tensor in back.items()})


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_ring_of_a_convolution_and_a_recurrent_layer(kind, tmp_path):
    """A whole composition: torch, pyrnn, ONNX, pyrnn, Keras, pyrnn, torch."""
    torch.manual_seed(0)
    modules = {
        "conv": torch.nn.Conv1d(3, 4, 3, padding=1),
        "norm": torch.nn.BatchNorm1d(4),
        "rnn": getattr(torch.nn, kind)(4, 5, bidirectional=True),
        "features": torch.nn.LayerNorm(10),
        "out": torch.nn.Linear(10, 2),
    }
    module = torch.nn.ModuleDict(modules)
    module["norm"](torch.randn(9, 4) * 2 + 1)
    torch.save(module.state_dict(), tmp_path / "a.pt")
    state = interop.read(tmp_path / "a.pt")
    said = {"conv": {"kind": "Conv1d", "padding": 1}, "features": {"kind": "LayerNorm"}}
    layers = {name: interop.from_state_dict(state, name, **said.get(name, {})) for name in modules}
    model = pyrnn.Sequential(**layers).eval()
    x = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
    y, _ = model(x)
    onnx.save(model, tmp_path / "b.onnx")
    second = dict(zip(layers, onnx.layers(tmp_path / "b.onnx").values(), strict=True))
    assert np.array_equal(pyrnn.Sequential(**second).eval()(x)[0], y)
    keras.save(second, tmp_path / "c.keras")
    third = keras.load(tmp_path / "c.keras")
    turned = np.ascontiguousarray(x.swapaxes(0, 1))
    assert np.array_equal(pyrnn.Sequential(**third).eval()(turned)[0].swapaxes(0, 1), y)
    interop.save(third, tmp_path / "d.pt")
    back = torch.load(tmp_path / "d.pt", weights_only=True)
    assert back.pop("norm.num_batches_tracked") == 0  # ONNX and Keras have no such count
    first = module.state_dict()
    assert first.pop("norm.num_batches_tracked") == 1
    assert_same(first, back)


def test_names_come_round(tmp_path):
    """A program loads what comes back as what it saved."""
    state = {
        f"{name}.{key}": array
        for name, layer in (
            ("embed", pyrnn.Embedding(9, 3, seed=0)), ("encoder", pyrnn.LSTM(3, 4, 2, seed=1)),
            ("top", pyrnn.GRU(4, 5, bidirectional=True, seed=2)), ("out", pyrnn.Linear(10, 2)),
        )
        for key, array in layer.parameters.items()
    }  # fmt: skip
    path = tmp_path / "0.pt"
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)
    for number, kind in enumerate((".onnx", ".safetensors", ".keras", ".weights.h5", ".pt"), 1):
        target = tmp_path / f"{number}{kind}"
        conversion.write(conversion.read(path), target)
        path = target
    back = torch.load(path, weights_only=True)
    assert list(back) == list(state)
    for name, array in state.items():
        assert back[name].numpy().tobytes() == array.tobytes(), name
