"""RNN, GRU and LSTM with drawn settings: against onnxruntime, and a reference written out."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import onnx as backend
from pyrnn.interop.onnx.operators import recurrent
from pyrnn.interop.onnx.write import to_model
from tests.conftest import LONG
from tests.interop.onnx import graphs, settings
from tests.interop.onnx.graphs import TensorProto, helper

TOLERANCE = 1e-5
SETTINGS = 1500 if LONG else 300


def model_and_inputs(seed, fixed=()):
    """A model of one node, its inputs and its outputs by the reference."""
    kind, attributes, inputs = settings.draw(seed)
    expected = settings.reference(kind, attributes, inputs)
    outputs = ["Y", "Y_h", "Y_c"][: len(expected)]
    names = [name if array is not None else "" for name, array in inputs.items()]
    while not names[-1]:
        names.pop()
    node = helper.make_node(kind, names, outputs, **attributes)
    given = {name: array for name, array in inputs.items() if array is not None}
    constants = {name: array for name, array in given.items() if name in fixed}
    free = {name: array for name, array in given.items() if name not in fixed}
    infos = [graphs.value(name, TensorProto.FLOAT) for name in outputs]
    return graphs.model_of([node], free, infos, constants), free, expected


def assert_all_close(found, expected):
    scale = max(1.0, *(float(np.abs(array).max(initial=0)) for array in expected))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max(initial=0) <= TOLERANCE * scale


def onnxruntimes(model, inputs):
    """What onnxruntime gives; None for layout=1, which it has not."""
    if "layout" in {attribute.name for attribute in model.graph.node[0].attribute}:
        return None
    return graphs.session(model).run(None, inputs)


def test_drawn_settings():
    pytest.importorskip("onnxruntime")
    refused = 0
    for seed in range(SETTINGS):
        model, inputs, expected = model_and_inputs(seed)
        found = backend.run_model(model, inputs)
        assert_all_close(found, expected)
        theirs = onnxruntimes(model, inputs)
        if theirs is None:
            refused += 1
        else:
            assert_all_close(found, theirs)
    assert refused < SETTINGS / 4


@pytest.mark.parametrize("fixed", [(), ("W", "R", "B", "P")])
def test_every_setting_runs_in_the_core(fixed, monkeypatch):
    """Other activations, those of each direction, bounds, and sequences of no steps too."""

    def refuse(*_):
        raise AssertionError("computed in NumPy")

    monkeypatch.setattr(recurrent, "_by_equations", refuse)
    for seed in range(SETTINGS // 3):
        model, inputs, expected = model_and_inputs(seed, fixed)
        assert_all_close(backend.run_model(model, inputs), expected)


def test_drawn_settings_are_layers(tmp_path):
    """With other activations and clips too, unless each direction has its own."""
    apart = 0
    for seed in range(SETTINGS // 2):
        _, attributes, inputs = settings.draw(seed)
        functions = attributes.get("activations", [])
        half = len(functions) // 2
        numbers = {"activation_alpha", "activation_beta"} & set(attributes)
        both = attributes["direction"] == "bidirectional"
        if both and (numbers or functions[:half] != functions[half:]):
            apart += 1
            continue
        model, _, expected = model_and_inputs(seed, fixed=("W", "R", "B", "P"))
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        (layer,) = backend.layers(tmp_path / "m.onnx").values()
        batch_first = bool(attributes.get("layout"))
        firsts = [inputs.get(f"initial_{name}") for name in "hc"[: len(expected) - 1]]
        sides, rows = layer.num_directions, len(inputs["X"]) if batch_first else None
        rows = rows or inputs["X"].shape[1]
        state = [
            np.zeros((sides, rows, layer.hidden_size), np.float32)
            if first is None
            else np.ascontiguousarray(first.swapaxes(0, 1) if batch_first else first)
            for first in firsts
        ]
        state = state[0] if len(state) == 1 else tuple(state)
        y, _ = layer(inputs["X"], state, inputs["sequence_lens"])
        y = y.reshape(*y.shape[:2], sides, layer.hidden_size)
        assert_all_close([y if batch_first else y.swapaxes(1, 2)], expected[:1])
    assert apart < SETTINGS / 6


@pytest.mark.parametrize("seed", range(12))
def test_fixed_weights_give_the_bits_of_free_ones(seed):
    free, inputs, _ = model_and_inputs(seed)
    fixed, fewer, _ = model_and_inputs(seed, ("W", "R", "B", "P"))
    model = backend.prepare(fixed)
    for _ in range(2):  # the second run has packed weights
        for mine, theirs in zip(model.run(fewer), backend.run_model(free, inputs), strict=True):
            assert np.array_equal(mine, theirs)


def test_rows_have_the_bits_of_the_row_alone():
    """On the core's way, and on that of the equations."""
    r = np.random.default_rng(0)
    numbers = lambda *shape: r.standard_normal(shape).astype(np.float32)  # noqa: E731
    x, W, R = numbers(6, 4, 3), numbers(1, 20, 3), numbers(1, 20, 5)
    for attributes in ({}, {"clip": 0.8}):
        node = helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=5, **attributes)

        def run(part, node=node):
            inputs = {"X": part, "W": W, "R": R}
            infos = [graphs.value("Y", TensorProto.FLOAT)]
            return backend.run_model(graphs.model_of([node], inputs, infos), inputs)[0]

        whole = run(x)
        for n in range(4):
            assert np.array_equal(
                run(np.ascontiguousarray(x[:, n : n + 1]))[:, :, 0], whole[:, :, n]
            )


def test_packed_weights_follow_the_backend():
    layer = pyrnn.LSTM(3, 4, seed=0)
    prepared = backend.prepare(to_model(layer))
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    zeros = np.zeros((1, 2, 4), np.float32)
    results = {}
    for name in ("native", "reference"):
        if name in pyrnn.backend.selection.available():
            with pyrnn.use_backend(name):
                results[name] = prepared.run([x, zeros, zeros])[0]
                assert np.array_equal(results[name], layer(x)[0])
    assert np.allclose(*results.values(), atol=1e-6) if len(results) == 2 else results


def test_double_precision():
    r = np.random.default_rng(0)
    inputs = {"X": r.standard_normal((4, 2, 3)), "W": r.standard_normal((1, 9, 3))}
    inputs["R"] = r.standard_normal((1, 9, 3))
    node = helper.make_node("GRU", list(inputs), ["Y", "Y_h"], hidden_size=3)
    infos = [graphs.value(name, TensorProto.DOUBLE) for name in ("Y", "Y_h")]
    found = backend.run_model(graphs.model_of([node], inputs, infos), inputs)
    attributes = {"hidden_size": 3, "direction": "forward"}
    given = inputs | {"B": None, "sequence_lens": None, "initial_h": None}
    for mine, theirs in zip(found, settings.reference("GRU", attributes, given), strict=True):
        assert mine.dtype == np.float64
        assert np.abs(mine - theirs).max() <= 1e-12


WRONG = {
    "X": (np.ones((3, 2, 5), np.float32), "X: expected float32 of 3 axes, the last of 3"),
    "W": (np.ones((1, 7, 3), np.float32), r"W: expected shape \(1, 8, 3\), got \(1, 7, 3\)"),
    "R": (np.ones((2, 8, 2), np.float32), r"R: expected shape \(1, 8, 2\)"),
    "B": (np.ones((1, 8), np.float32), r"B: expected shape \(1, 16\), got \(1, 8\)"),
    "sequence_lens": (np.array([4, 1], np.int32), r"expected lengths in \[0, 3\], got \[4 1\]"),
    "initial_h": (np.ones((1, 2, 3), np.float32), "initial_h: expected float32 of shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_named(name):
    r = np.random.default_rng(0)
    inputs = {
        "X": r.standard_normal((3, 2, 3)).astype(np.float32),
        "W": np.ones((1, 8, 3), np.float32),
        "R": np.ones((1, 8, 2), np.float32),
        "B": np.ones((1, 16), np.float32),
        "sequence_lens": np.array([3, 1], np.int32),
        "initial_h": np.ones((1, 2, 2), np.float32),
    }
    inputs[name], message = WRONG[name]
    node = helper.make_node("LSTM", list(inputs), ["Y"], name="cell", hidden_size=2)
    model = graphs.model_of([node], inputs, [graphs.value("Y", TensorProto.FLOAT)])
    with pytest.raises(ValueError, match=message) as raised:
        backend.run_model(model, inputs)
    assert str(raised.value).startswith("node 'cell' (LSTM): ")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"direction": "sideways"}, "direction: expected one of forward, reverse, bidirectional"),
        ({"activations": ["Tanh"]}, "activations: expected 3, got 1"),
        ({"activations": ["Tanh", "Swish", "Tanh"]}, "got 'Swish'"),
        ({"layout": 2}, "layout: expected 0 or 1, got 2"),
        ({"hidden_size": "two"}, "hidden_size: expected int, got str"),
    ],
)
def test_an_attribute_that_is_wrong_is_named(attributes, message):
    node = helper.make_node("LSTM", ["X", "W", "R"], ["Y"], **attributes)
    x = np.ones((1, 1, 1), np.float32)
    with pytest.raises(backend.GraphError, match=message):
        backend.run_node(node, [x, np.ones((1, 4, 1), np.float32), np.ones((1, 4, 1), np.float32)])


@pytest.mark.parametrize("active", sorted(pyrnn.backend.selection.available()))
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_one_step_at_a_time_gives_the_bits_of_the_sequence(kind, batch_first, active, monkeypatch):
    """Weights that never change; no state at first, then that of the step before."""
    rng = np.random.default_rng(0)
    gates, parts = {"RNN": (1, 1), "GRU": (3, 1), "LSTM": (4, 2)}[kind]
    shapes = {"W": (1, gates * 5, 3), "R": (1, gates * 5, 5), "B": (1, gates * 10)}
    weights = {name: rng.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    states = ["initial_h", "initial_c"][:parts]
    outputs = ["Y", "Y_h", "Y_c"][: 1 + parts]

    def run(x, *state):
        names = ["X", "W", "R", "B", *([""] if state else []), *states[: len(state)]]
        node = helper.make_node(kind, names, outputs, hidden_size=5, layout=int(batch_first))
        given = {"X": x} | dict(zip(states, state, strict=False))
        infos = [graphs.value(name, TensorProto.FLOAT) for name in outputs]
        return backend.run_model(graphs.model_of([node], given, infos, weights), given)

    x = rng.standard_normal((2, 4, 3) if batch_first else (4, 2, 3)).astype("f")
    axis = 1 if batch_first else 0
    with pyrnn.use_backend(active):
        y, *last = run(x)
        if active == "native":
            monkeypatch.delattr(recurrent._Operator, "_by_core")
        pieces, state = [], []
        for x_t in np.split(x, 4, axis=axis):
            piece, *state = run(np.ascontiguousarray(x_t), *state)
            pieces.append(piece)
    assert np.array_equal(np.concatenate(pieces, axis=axis), y)
    for got, expected in zip(state, last, strict=True):
        assert np.array_equal(got, expected)
