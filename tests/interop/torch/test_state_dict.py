"""Layers from state dicts: what names and shapes say, errors, and the inverse to the bit."""

import itertools
import re

import numpy as np
import pytest

import pyrnn
from pyrnn.interop.torch import Placeholder, from_state_dict, to_state_dict

# torch's own word on its own projections
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

LAYERS = {
    **{
        f"{kind}-{layers}-{'both' if both else 'one'}-{'bias' if bias else 'plain'}": (
            kind, (5, 7), {"num_layers": layers, "bidirectional": both, "bias": bias}
        )
        for kind, layers, both, bias in itertools.product(
            ("RNN", "LSTM", "GRU"), (1, 3), (False, True), (True, False)
        )
    },
    "LSTM-projected": ("LSTM", (5, 7), {"proj_size": 3, "num_layers": 2, "bidirectional": True}),
    "LSTM-of-one-unit": ("LSTM", (1, 1), {}),
    **{
        f"{kind}-{'bias' if bias else 'plain'}": (kind, (5, 7), {"bias": bias})
        for kind in ("RNNCell", "LSTMCell", "GRUCell", "Linear")
        for bias in (True, False)
    },
    "Embedding": ("Embedding", (5, 7), {}),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "sizes", "options"), LAYERS.values(), ids=LAYERS)
def test_there_and_back(kind, sizes, options, dtype):
    layer = getattr(pyrnn, kind)(*sizes, **options, dtype=dtype, seed=0)
    arrays = to_state_dict(layer, "model.part.")
    prefix = "model.part" if kind != "Embedding" else "model.part."
    found = from_state_dict(arrays, prefix, kind=kind)
    assert repr(found) == repr(layer)
    for name, array in layer.parameters.items():
        assert found.parameters[name].tobytes() == array.tobytes()
        assert not np.shares_memory(found.parameters[name], arrays[f"model.part.{name}"])


@pytest.mark.parametrize(("kind", "sizes", "options"), LAYERS.values(), ids=LAYERS)
def test_torch_to_pyrnn_to_torch(kind, sizes, options):
    """The same bits, and the same outputs."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(*sizes, **options)
    layer = from_state_dict(module.state_dict(), kind=kind)
    again = getattr(torch.nn, kind)(*sizes, **options)
    again.load_state_dict({n: torch.from_numpy(a) for n, a in to_state_dict(layer).items()})
    for name, tensor in module.state_dict().items():
        assert again.state_dict()[name].numpy().tobytes() == tensor.numpy().tobytes()
    x = torch.arange(3) if kind == "Embedding" else torch.randn(3, sizes[0])
    if not kind.endswith(("Cell", "Linear", "Embedding")):
        x = torch.randn(6, 3, sizes[0])
    expected, got = module(x), layer(x.numpy())
    expected = expected[0] if isinstance(expected, tuple) else expected
    got = got[0] if isinstance(got, tuple) else got
    assert np.abs(got - expected.detach().numpy()).max() < 1e-6


def test_prefixes_with_and_without_their_dot():
    arrays = to_state_dict(pyrnn.GRU(2, 3, seed=0), "encoder.gru")
    for prefix in ("encoder.gru", "encoder.gru."):
        assert isinstance(from_state_dict(arrays, prefix), pyrnn.GRU)


def test_nested_dicts_and_whole_modules():
    arrays = dict(pyrnn.GRU(2, 3, seed=0).parameters)
    module = Placeholder("Net", (), {
        "training": True,
        "_parameters": {},
        "_modules": {"gru": Placeholder("torch.nn.GRU", (), {"_parameters": arrays, "bias": True})},
    })  # fmt: skip
    assert isinstance(from_state_dict({"state": {"gru": arrays}}, "state.gru"), pyrnn.GRU)
    assert isinstance(from_state_dict({"net": module, "epoch": 3}, "net.gru"), pyrnn.GRU)


def test_what_a_state_dict_does_not_say():
    arrays = to_state_dict(pyrnn.RNN(2, 3, nonlinearity="relu", seed=0))
    assert from_state_dict(arrays).nonlinearity == "tanh"
    layer = from_state_dict(arrays, nonlinearity="relu", batch_first=True)
    assert layer.nonlinearity == "relu"
    assert layer.batch_first


def test_a_matrix_alone():
    matrix = {"weight": np.ones((5, 3), np.float32)}
    named = {
        f"{name}.weight": matrix["weight"]
        for name in ("word_emb", "Embedding", "embeddings", "out")
    }
    assert isinstance(from_state_dict(named, "word_emb"), pyrnn.Embedding)
    assert isinstance(from_state_dict(named, "out"), pyrnn.Linear)
    assert isinstance(from_state_dict(matrix), pyrnn.Linear)
    assert isinstance(from_state_dict(matrix, kind="Embedding"), pyrnn.Embedding)
    assert isinstance(from_state_dict(named, "Embedding", kind="Linear"), pyrnn.Linear)
    with_bias = {"embedding.weight": np.ones((5, 3)), "embedding.bias": np.ones(5)}
    assert isinstance(from_state_dict(with_bias, "embedding"), pyrnn.Linear)


def test_half_widths_are_widened():
    layer = pyrnn.GRU(2, 3, seed=0)
    halves = {name: array.astype(np.float16) for name, array in layer.parameters.items()}
    found = from_state_dict(halves)
    assert found.dtype == np.float32
    for name, array in halves.items():
        assert np.array_equal(found.parameters[name], array.astype(np.float32))


def test_tensors_of_half_width():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float16, torch.bfloat16):
        module = torch.nn.LSTM(2, 3).to(dtype)
        found = from_state_dict(dict(module.named_parameters()))
        assert found.dtype == np.float32
        expected = module.weight_hh_l0.detach().float().numpy()
        assert np.array_equal(found.parameters["weight_hh_l0"], expected)


# --- errors ---------------------------------------------------------------------------------

LSTM = to_state_dict(pyrnn.LSTM(2, 3, 2, seed=0), "lstm") | {"out.weight": np.ones((4, 3), "f")}


def without(*names):
    return {name: array for name, array in LSTM.items() if name not in names}


def instead(name, array):
    return LSTM | {name: np.asarray(array, np.float32)}


@pytest.mark.parametrize(
    ("mapping", "prefix", "said"),
    [
        (LSTM, "", "prefix: expected a layer at the top; there are layers at 'lstm', 'out'"),
        (LSTM, "gru", "prefix: expected a layer at 'gru'; there are layers at 'lstm', 'out'"),
        ({}, "", "there are no weights of layers"),
        ({"a": {"b": np.ones(3)}}, "", "there are no weights of layers, only a.b (3,)"),
        (without("lstm.weight_hh_l0"), "lstm", "expected weight_ih_l0 and weight_hh_l0"),
        (without("lstm.bias_hh_l1"), "lstm", "bias_hh_l1 (12,)"),
        (without("lstm.weight_ih_l1", "lstm.weight_hh_l1"), "lstm", "weight_ih_l1 (12, 3)"),
        (instead("lstm.weight_ih_l0", np.ones((11, 2))), "lstm", "weight_ih_l0 (12, 2)"),
        (instead("lstm.weight_ih_l0", np.ones(12)), "lstm", "as matrices"),
        (instead("lstm.weight_hh_l0", np.ones((15, 3))), "lstm", "1, 3 or 4 times 3 rows"),
        (instead("lstm.weight_hh_l0", np.ones((0, 3))), "lstm", "as matrices"),
        (instead("lstm.weight_hr_l0", np.ones((2, 9))), "lstm", "1, 3 or 4 times 9 rows"),
        (instead("lstm.weight_ih_l999", np.ones((12, 3))), "lstm", "expected all layers at 'lstm'"),
        (instead("lstm.weight_ih_l0_reverse", np.ones((12, 2))), "lstm", "weight_hh_l0_reverse"),
        (instead("out.weight", np.ones(3)), "out", "expected a matrix"),
        (instead("out.bias", np.ones(3)), "out", "bias (4,)"),
    ],
)  # fmt: skip
def test_errors_say_what_was_found(mapping, prefix, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        from_state_dict(mapping, prefix)
    assert "\n" not in str(caught.value)


def test_wrong_kinds():
    with pytest.raises(ValueError, match=r"kind: expected GRU, got LSTM\(2, 3, num_layers=2\)"):
        from_state_dict(LSTM, "lstm", kind="GRU")
    with pytest.raises(ValueError, match="kind: expected"):
        from_state_dict(LSTM, "lstm", kind="Transformer")
    with pytest.raises(TypeError, match="mapping: expected a dict of arrays, got list"):
        from_state_dict([1], "lstm")
    with pytest.raises(TypeError, match="prefix: expected a string, got int"):
        from_state_dict(LSTM, 3)
    with pytest.raises(TypeError, match="weight"):
        from_state_dict({"weight": np.ones((2, 2), int)})
    mixed = {"weight": np.ones((2, 2)), "bias": np.ones(2, np.float32)}
    with pytest.raises(ValueError, match="one dtype, got float32, float64"):
        from_state_dict(mixed)


def test_deep_and_cyclic_mappings():
    mapping = {}
    for _ in range(100_000):
        mapping = {"a": mapping}
    with pytest.raises(ValueError, match="at most 200 levels"):
        from_state_dict(mapping)
    cyclic = {}
    cyclic["a"] = cyclic
    with pytest.raises(ValueError, match="at most 200 levels"):
        from_state_dict(cyclic)


def test_layers_that_torch_does_not_have():
    for layer in (
        pyrnn.MinGRU(2, 3),
        pyrnn.CharacterModel("abc", "gru", 4),
        pyrnn.PackedSequence,
        3,
    ):
        with pytest.raises(TypeError, match="layer: expected one of RNN, LSTM"):
            to_state_dict(layer)
    for layer in (
        pyrnn.LSTM(2, 3, peephole=True),
        pyrnn.LSTM(2, 3, coupled=True),
        pyrnn.GRU(2, 3, reset_after=False),
        pyrnn.GRU(2, 3, layer_norm=True),
        pyrnn.LSTM(2, 3, zoneout=(0.0, 0.1)),
        pyrnn.GRU(2, 3, reverse=True),
        pyrnn.GRU(2, 3, bidirectional=True, merge_mode="sum"),
    ):
        with pytest.raises(ValueError, match="expected one that torch has as well"):
            to_state_dict(layer)


PEERS = {
    "Conv1d": lambda t: t.nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2),
    "Conv1d same": lambda t: t.nn.Conv1d(4, 6, 5, padding="same", bias=False),
    "LayerNorm": lambda t: t.nn.LayerNorm(4, eps=0.1),
    "InstanceNorm1d": lambda t: t.nn.InstanceNorm1d(4, eps=0.1, affine=True),
    "BatchNorm1d": lambda t: t.nn.BatchNorm1d(4, eps=0.1, momentum=0.25),
}
SAID = {
    "Conv1d": {"stride": 2, "padding": 2, "dilation": 2, "groups": 2},
    "Conv1d same": {"padding": "same"},
    "BatchNorm1d": {"eps": 0.1, "momentum": 0.25},
}


@pytest.mark.parametrize("name", PEERS)
def test_layers_around(name):
    """What a state dict does not say is said; the numbers are torch's, and so is what goes back."""
    torch = pytest.importorskip("torch")
    peer = PEERS[name](torch).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_()
    mapping = {f"net.0.{n}": a for n, a in peer.state_dict().items()}
    kind = name.partition(" ")[0]
    layer = from_state_dict(mapping, "net.0", kind=kind, **SAID.get(name, {"eps": 0.1})).eval()
    x = np.random.default_rng(0).standard_normal((9, 2, 4)).astype(np.float32)
    with torch.no_grad():
        given = torch.from_numpy(x)
        turned = given if kind == "LayerNorm" else given.permute(1, 2, 0)
        theirs = peer(turned)
        theirs = theirs if kind == "LayerNorm" else theirs.permute(2, 0, 1)
    np.testing.assert_allclose(layer(x), theirs.numpy(), rtol=1e-4, atol=1e-5)
    back = to_state_dict(layer, "net.0")
    assert list(back) == list(mapping)
    assert all(np.array_equal(back[n], a.numpy()) for n, a in mapping.items())


def test_layers_in_a_row():
    torch = pytest.importorskip("torch")
    model = pyrnn.Sequential(
        conv=pyrnn.Conv1d(3, 4, 3, seed=0), act=pyrnn.Activation("relu"),
        inner=pyrnn.Sequential(pyrnn.BatchNorm1d(4), pyrnn.GRU(4, 5, seed=1), pyrnn.LastStep()),
        out=pyrnn.Linear(5, 2, seed=2),
    )  # fmt: skip
    inner = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.GRU(4, 5))
    modules = {"conv": torch.nn.Conv1d(3, 4, 3), "inner": inner, "out": torch.nn.Linear(5, 2)}
    peer = torch.nn.ModuleDict(modules)
    found = to_state_dict(model)
    assert list(found) == list(peer.state_dict())
    peer.load_state_dict({name: torch.from_numpy(array) for name, array in found.items()})
    assert next(iter(to_state_dict(model, "a."))) == "a.conv.weight"
    model.load_state_dict(peer.state_dict())


@pytest.mark.parametrize(
    ("shapes", "options", "kind", "message"),
    [
        ({"weight": (3, 4, 2)}, {}, ValueError, "if it is another layer, give kind='Conv1d'$"),
        ({"weight": (3,)}, {}, ValueError, "give kind='LayerNorm' or kind='InstanceNorm1d'$"),
        ({"weight": (3, 4, 2, 2)}, {}, ValueError, r"got weight \(3, 4, 2, 2\)$"),
        ({"weight": (3, 4)}, {"kind": "Conv1d"}, ValueError, "the weight of a Conv1d at the top"),
        ({"weight": (3, 4, 2)}, {"kind": "LayerNorm"}, ValueError, "the weight of a LayerNorm"),
        ({"weight": (3, 4)}, {"stride": 2}, TypeError, "stride: expected only with kind='Conv1d'"),
        ({"weight": (3, 4, 2)}, {"kind": "Conv1d", "step": 2}, TypeError, "step"),
        ({"weight": (3, 4, 2)}, {"kind": "Conv1d", "groups": 2}, ValueError, "groups"),
        ({"weight": (3,), "bias": (4,)}, {"kind": "LayerNorm"}, ValueError, "bias .3,"),
    ],
)
def test_what_is_not_said_of_layers_around(shapes, options, kind, message):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with pytest.raises(kind, match=message):
        from_state_dict(arrays, **options)
    with pytest.raises(ValueError, match="expected one that torch has as well"):
        to_state_dict(pyrnn.Conv1d(3, 4, 2, padding="causal"))
