"""Batch normalisation in files of every kind: the numbers of the others, and the bits back."""

import numpy as np
import pytest

import pyrnn


def filled(channels=4, *options, **more):
    layer = pyrnn.BatchNorm1d(channels, *options, **more)
    generator = np.random.default_rng(0)
    for array in (*layer.parameters.values(), *layer.buffers.values()):
        if array.ndim:
            array[...] = generator.uniform(0.1, 2, channels)
    return layer


def same(layer, other):
    """All arrays but the count, which ONNX and Keras have not."""
    own, found = layer.state_dict(), other.state_dict()
    assert own.keys() == found.keys()
    for name in own:
        assert name == "num_batches_tracked" or own[name].tobytes() == found[name].tobytes()
    assert (other.eps, other.momentum) == (layer.eps, layer.momentum)
    return True


@pytest.mark.parametrize("affine", [True, False])
def test_torch(affine, tmp_path):
    torch = pytest.importorskip("torch")
    from pyrnn.interop import torch as files

    peer = torch.nn.BatchNorm1d(4, affine=affine)
    peer(torch.randn(7, 4))
    torch.save({"net.norm." + n: a for n, a in peer.state_dict().items()}, tmp_path / "m.pt")
    layer = files.from_state_dict(files.read(tmp_path / "m.pt"), "net.norm")
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    with torch.no_grad():
        expected = peer.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(layer.eval()(x), expected, rtol=1e-5, atol=1e-6)
    files.save(layer, tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert {n: a.tolist() for n, a in back.items()} == {
        n: a.tolist() for n, a in peer.state_dict().items()
    }
    assert back["num_batches_tracked"].dtype == torch.int64
    old = {n: a for n, a in back.items() if n != "num_batches_tracked"}
    assert files.from_state_dict(old).buffers["num_batches_tracked"] == 0
    with pytest.raises(ValueError, match=r"expected for BatchNorm1d"):
        files.from_state_dict({**old, "running_var": np.ones(3, np.float32)})


@pytest.mark.parametrize("make", [filled, lambda **o: filled(4, 1e-3, 0.25, affine=False, **o)])
def test_onnx(make, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from pyrnn.interop import onnx as files

    first, last = make(), make()
    model = pyrnn.Sequential(
        first, pyrnn.GRU(4, 4, seed=0), last, pyrnn.LastStep(), make(), pyrnn.Linear(4, 2, seed=1)
    ).eval()
    path = tmp_path / "m.onnx"
    files.save(model, path)
    x = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    inputs = {"x": x, "h_0": np.zeros((1, 3, 4), np.float32)}
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for y in (files.prepare(path).run(inputs)[0], session.run(None, inputs)[0]):
        np.testing.assert_allclose(y, model(x)[0], rtol=1e-4, atol=1e-5)
    found = [f for f in files.layers(path).values() if isinstance(f, pyrnn.BatchNorm1d)]
    assert len(found) == 3
    for own, back in zip((first, last), found, strict=False):
        if own.affine:
            assert same(own, back)
        np.testing.assert_array_equal(back.eval()(x), own(x))
    with pytest.raises(ValueError, match="no batch normalisation without averages"):
        files.save(pyrnn.BatchNorm1d(3, track_running_stats=False), tmp_path / "no.onnx")


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_keras(name, tmp_path):
    pytest.importorskip("h5py")
    from pyrnn.interop import keras

    layers = {
        "norm": filled(4, 0.01, 0.2),
        "rnn": pyrnn.GRU(4, 5, batch_first=True, seed=0),
        "plain": filled(5, affine=False),
    }
    if name == "m.weights.h5":  # says shapes alone: gamma and beta have to be there
        layers["plain"] = filled(5)
    keras.save(layers, tmp_path / name)
    found = keras.load(tmp_path / name)
    assert list(found) == list(layers)
    assert same(layers["norm"], found["norm"])
    assert same(layers["plain"], found["plain"])
    arrays = keras.to_keras(layers["norm"])
    assert list(arrays) == ["gamma", "beta", "moving_mean", "moving_variance"]
    with pytest.raises(ValueError, match="no batch normalisation without averages"):
        keras.to_keras(pyrnn.BatchNorm1d(3, track_running_stats=False))


def test_files_of_layers(tmp_path):
    pytest.importorskip("safetensors")
    from pyrnn.interop import conversion, converted

    layers = {"a": filled(), "b": pyrnn.Sequential(c=filled(3, affine=False)), "d": filled(2)}
    converted.save_layers(layers, tmp_path / "m.safetensors")
    found = converted.load(tmp_path / "m.safetensors")
    for name, layer in layers.items():
        for own, array in layer.state_dict().items():
            assert found[name].state_dict()[own].tobytes() == array.tobytes()
    holding = conversion.read(tmp_path / "m.safetensors")
    assert list(holding.layers) == ["a", "b.c", "d"]
    conversion.write(holding, tmp_path / "m.pt")
    assert list(conversion.read(tmp_path / "m.pt").layers) == ["a", "b.c", "d"]
