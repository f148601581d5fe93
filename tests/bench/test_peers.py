"""Peers: pyrnn's own outputs against its reference; a library that is missing is left out."""

import numpy as np
import pytest

import pyrnn
from bench import peers
from bench.contest import problem
from bench.contest.contender import difference
from bench.contest.shapes import GATES, Case
from bench.peers import pyrnn_peer


def run(case):
    (contender,) = pyrnn_peer.contenders(case, problem.make(case), 1)
    return contender.outputs(contender.run())


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize(("training", "time_steps"), [(True, 6), (False, 6), (False, 1)])
def test_pyrnn_computes_what_its_reference_does(native, cell, training, time_steps):
    case = Case("any", training, cell, time_steps, 1, 3, 4)
    got = run(case)
    with pyrnn.use_backend("reference"):
        expected = run(case)
    assert difference(expected, got) < 1e-5


def test_training_gives_every_gradient():
    outputs = run(Case("any", True, "GRU", 3, 2, 3, 4))
    assert set(outputs) == {"y", "dx", "weight_ih", "weight_hh", "bias_ih", "bias_hh"}


def test_a_step_starts_from_the_given_state():
    case = Case("any", False, "LSTM", 1, 1, 3, 4)
    numbers = problem.make(case)
    layer = pyrnn.LSTM(3, 4)
    for name, weight in numbers.weights.items():
        layer.parameters[f"{name}_l0"] = weight
    expected, _ = layer(numbers.x, numbers.state)
    assert np.allclose(run(case)["y"], expected, rtol=1e-6)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(peers.MODULES, "other", "a_library_that_nobody_has")
    found, missing = peers.installed(["pyrnn", "other"])
    assert list(found) == ["pyrnn"]
    assert missing == ["other"]


def test_little_work_is_tried_with_one_thread_too():
    small, large = (
        Case("any", False, "LSTM", 1, 1, 3, 4),
        Case("any", True, "LSTM", 64, 64, 512, 512),
    )
    assert peers.thread_settings(small, 2) == [2, 1]
    assert peers.thread_settings(small, 1) == [1]
    assert peers.thread_settings(large, 2) == [2]
