"""Modules that torch has quantised: packed weights as floats, and nothing of the file is run."""

import io
import zipfile

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import conversion
from pyrnn.interop.torch import from_state_dict, read
from pyrnn.serialization import ModelFileError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


class Model(torch.nn.Module):
    """Whose class a file names, and pyrnn never imports."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.emb = torch.nn.Embedding(10, 8)
        self.lstm = torch.nn.LSTM(8, 16, 2, bidirectional=True)
        self.gru = torch.nn.GRU(32, 12, 3)
        self.fc = torch.nn.Linear(12, 5)
        self.out = torch.nn.Linear(5, 4, bias=False)
        self.cell = torch.nn.LSTMCell(3, 4)
        self.gru_cell = torch.nn.GRUCell(3, 4)
        self.rnn_cell = torch.nn.RNNCell(3, 4)


KINDS = {torch.nn.LSTM, torch.nn.GRU, torch.nn.Linear, torch.nn.LSTMCell, torch.nn.GRUCell,
         torch.nn.RNNCell}  # fmt: skip
LAYERS = {
    "emb": "Embedding(10, 8)",
    "lstm": "LSTM(8, 16, num_layers=2, bidirectional=True)",
    "gru": "GRU(32, 12, num_layers=3)",
    "fc": "Linear(12, 5)",
    "out": "Linear(5, 4, bias=False)",
    "cell": "LSTMCell(3, 4)",
    "gru_cell": "GRUCell(3, 4)",
    "rnn_cell": "RNNCell(3, 4)",
}


def quantized(dtype, model=None):
    model = Model() if model is None else model
    return torch.ao.quantization.quantize_dynamic(model, KINDS, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16])
@pytest.mark.parametrize("whole", [True, False], ids=["module", "state dict"])
def test_each_layer(dtype, whole, tmp_path):
    path, module = tmp_path / "m.pt", quantized(dtype)
    torch.save(module if whole else module.state_dict(), path)
    holding = conversion.read(path)
    assert {name: repr(layer) for name, layer in holding.layers.items()} == LAYERS
    assert not holding.refused
    mapping, plain = read(path), Model().state_dict()
    for name, layer in holding.layers.items():
        again = from_state_dict(mapping, name)
        for key, array in layer.parameters.items():
            assert np.array_equal(again.parameters[key], array)
            original = plain[f"{name}.{key}"].numpy()
            step = np.ptp(original) / (200 if dtype == torch.qint8 else 2000)
            assert abs(array - original).max() <= step
            assert key.startswith("bias") or name == "emb" or (array != original).any()
    np.testing.assert_array_equal(
        holding.layers["fc"].parameters["weight"], module.fc.weight().dequantize().numpy()
    )
    words = np.random.default_rng(0).integers(0, 10, (7, 2))
    y, _ = holding.layers["lstm"](holding.layers["emb"](words))
    y, _ = holding.layers["gru"](y)
    with torch.no_grad():
        expected = module.gru(module.lstm(module.emb(torch.from_numpy(words)))[0])[0].numpy()
    assert abs(y - expected).max() < 0.01  # x and h are of 8 bits there
    x = np.ones((2, 3), np.float32)
    for name in ("cell", "gru_cell", "rnn_cell"):
        state = np.zeros((2, 4), np.float32)
        h, _, _ = holding.layers[name].forward(x, (state, state) if name == "cell" else state)
        with torch.no_grad():
            theirs = getattr(module, name)(torch.from_numpy(x))
        assert abs(h - (theirs[0] if name == "cell" else theirs).numpy()).max() < 0.02


def test_of_torch_itself():
    """A state dict that was not read from a file, with the objects of C++ in it."""
    module = quantized(torch.qint8)
    for name, shown in LAYERS.items():
        assert repr(from_state_dict(module.state_dict(), name)) == shown


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("sizes", [(8, 8), (16, 8), (5, 8)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_levels_and_directions(count, sizes, both):
    module = quantized(
        torch.qint8, torch.nn.Sequential(torch.nn.LSTM(*sizes, count, bidirectional=both))
    )
    state_dict = module.state_dict()
    if sizes == (8, 8) and (count, both) in ((1, True), (2, False)):
        with pytest.raises(ValueError, match=r"bidirectional: expected True or False.*at '0'"):
            from_state_dict(state_dict, "0")
        layer = from_state_dict(state_dict, "0", bidirectional=both)
    else:
        layer = from_state_dict(state_dict, "0")
    assert repr(layer) == repr(pyrnn.LSTM(*sizes, count, bidirectional=both))


def test_tensors_by_channel(tmp_path):
    weight = torch.randn(3, 4)
    scales, zeros = torch.tensor([0.1, 0.02, 0.3]), torch.tensor([0, 5, -7])
    tensors = {
        "rows": torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8),
        "bytes": torch.quantize_per_tensor(weight, 0.05, 128, torch.quint8),
        "wide": torch.quantize_per_tensor(weight, 1e-5, 0, torch.qint32),
        "part": torch.quantize_per_tensor(weight, 0.05, 3, torch.qint8)[1:, ::2],
    }
    torch.save(tensors, tmp_path / "t.pt")
    found = read(tmp_path / "t.pt")
    for name, tensor in tensors.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], tensor.dequantize().numpy())


def rewritten(path, *replaced):
    """A file with other bytes in its pickle, of the same length."""
    file = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(file, "w") as made:
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename.endswith("data.pkl"):
                for old, new in replaced:
                    assert old in data
                    data = data.replace(old, new, 1)
            made.writestr(zipfile.ZipInfo(info.filename), data)
    path.write_bytes(file.getvalue())


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ((b"torch\nper_tensor_affine", b"torch\nper_tensor_alpine"), "quantised by 'torch.per_te"),
        ((b"QInt8Storage", b"Int8_Storage"), "a storage of an unknown kind"),
        ((b"G?", b"N0"), "expected a whole file"),
    ],
)
def test_damaged_files(replaced, message, tmp_path):
    path = tmp_path / "t.pt"
    torch.save({"a": torch.quantize_per_tensor(torch.randn(3, 4), 0.5, 0, torch.qint8)}, path)
    rewritten(path, replaced)
    with pytest.raises(ModelFileError, match=message):
        read(path)


def test_one_storage_a_thousand_times_is_refused(tmp_path):
    """Each tensor would become floats in memory of its own."""
    base = torch.quantize_per_tensor(torch.zeros(200_000), 0.5, 0, torch.qint8)
    torch.save([base[:] for _ in range(3)], tmp_path / "t.pt")
    assert len(read(tmp_path / "t.pt")) == 3
    torch.save([base[:] for _ in range(1000)], tmp_path / "t.pt")
    with pytest.raises(ModelFileError, match="the same quantised tensor too often"):
        read(tmp_path / "t.pt")


def test_what_cannot_be_unpacked_is_no_layer(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(quantized(torch.qint8).state_dict(), path)
    rewritten(path, (b"quantized_dynamic", b"quantized_dynamo!"))
    with pytest.raises(ValueError, match="lstm"):
        from_state_dict(read(path), "lstm")
    assert "fc" in conversion.read(path).layers


@pytest.mark.parametrize("quantize", [False, True], ids=["float32", "qint8"])
def test_whole_modules_keep_what_state_dicts_have_not(quantize, tmp_path):
    path = tmp_path / "m.pt"
    module = torch.nn.Sequential(
        torch.nn.RNNCell(3, 4, nonlinearity="relu"),
        torch.nn.RNN(3, 4, nonlinearity="relu", batch_first=True),
        torch.nn.LSTM(3, 4, batch_first=True),
        torch.nn.GRU(3, 4),
        torch.nn.BatchNorm1d(3, eps=0.5, momentum=0.25),
        torch.nn.LayerNorm(3, eps=0.5),
        torch.nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
        torch.nn.Conv1d(4, 6, 3, padding="same", bias=False),
    ).eval()
    if quantize:
        module = quantized(torch.qint8, module)
    torch.save(module, path)
    assert {name: repr(layer) for name, layer in conversion.read(path).layers.items()} == {
        "0": "RNNCell(3, 4, nonlinearity='relu')",
        "1": "RNN(3, 4, nonlinearity='relu', batch_first=True)",
        "2": "LSTM(3, 4, batch_first=True)",
        "3": "GRU(3, 4)",
        "4": "BatchNorm1d(3, eps=0.5, momentum=0.25)",
        "5": "LayerNorm(3, eps=0.5)",
        "6": "Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)",
        "7": "Conv1d(4, 6, 3, padding='same', bias=False)",
    }
    found = read(path)
    assert from_state_dict(found, "1").nonlinearity == "relu"
    told = from_state_dict(found, "1", nonlinearity="tanh", batch_first=False)
    assert (told.nonlinearity, told.batch_first) == ("tanh", False)
    assert from_state_dict(found, "4", eps=0.125, kind="BatchNorm1d").eps == 0.125
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    y = module[0](torch.from_numpy(x)).detach().numpy()
    assert np.allclose(from_state_dict(found, "0")(x), y, atol=0.05)
    torch.save(module[0], path)
    assert from_state_dict(read(path)).nonlinearity == "relu"


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.ConvTranspose1d(3, 3, 3),
        torch.nn.Conv1d(3, 3, 3, padding=1, padding_mode="circular"),
        torch.nn.Conv2d(3, 3, 3),
        torch.nn.LayerNorm((2, 3)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_whole_modules_that_no_layer_is_like_are_refused(module, tmp_path):
    torch.save(torch.nn.ModuleDict({"m": module}), tmp_path / "m.pt")
    found = conversion.read(tmp_path / "m.pt")
    assert list(found.refused) == ["m"]
    assert not found.layers


def test_a_whole_convolution_computes_what_its_module_computes(tmp_path):
    module = torch.nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)
    torch.save(torch.nn.Sequential(module), tmp_path / "m.pt")
    layer = from_state_dict(read(tmp_path / "m.pt"), "0")
    x = torch.randn(5, 4, 20)  # N, C, T; the layer takes T, N, C
    y = layer(x.permute(2, 0, 1).numpy())
    expected = module(x).detach().permute(2, 0, 1).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
