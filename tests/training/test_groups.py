"""Groups of parameters, and parameters that are frozen."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

KINDS = [pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW]


def parameters():
    return {"a": np.ones(3)}, {"b": np.ones(2), "c": np.ones((2, 2))}


def gradients(step):
    generator = np.random.default_rng(step)
    return {name: generator.standard_normal(shape) for name, shape in SHAPES.items()}


SHAPES = {"a": (3,), "b": (2,), "c": (2, 2)}


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_optimisers_side_by_side(kind, backend):
    first, second = parameters()
    groups = kind([{"params": first, "lr": 0.25, "weight_decay": 0.5}, {"params": second}], lr=0.1)
    alone, others = parameters()
    pair = kind(alone, lr=0.25, weight_decay=0.5), kind(others, lr=0.1)
    for step in range(4):
        grads = gradients(step)
        groups.step(grads)
        pair[0].step({"a": grads["a"]})
        pair[1].step({name: grads[name] for name in ("b", "c")})
    for name, array in {**alone, **others}.items():
        assert np.array_equal({**first, **second}[name], array)


def test_groups_agree_with_torch():
    torch = pytest.importorskip("torch")
    first, second = parameters()
    tensors = {n: torch.tensor(p.copy()) for n, p in {**first, **second}.items()}
    theirs = torch.optim.SGD(
        [{"params": [tensors["a"]], "lr": 0.3}, {"params": [tensors["b"], tensors["c"]]}],
        lr=0.1, momentum=0.9,
    )  # fmt: skip
    mine = pyrnn.SGD([{"params": first, "lr": 0.3}, {"params": second}], lr=0.1, momentum=0.9)
    for step in range(5):
        grads = gradients(step)
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(grads[name])
        theirs.step()
        mine.step(grads)
        theirs.param_groups[1]["lr"] *= 0.5
        mine.param_groups[1]["lr"] *= 0.5
    for name, array in {**first, **second}.items():
        np.testing.assert_allclose(array, tensors[name].numpy(), rtol=1e-14)


def test_an_option_set_on_the_optimiser_is_set_in_all_groups():
    first, second = parameters()
    optimizer = pyrnn.Adam([{"params": first, "lr": 0.3}, {"params": second}])
    assert optimizer.lr == 0.3
    optimizer.lr = 0.2
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]
    with pytest.raises(ValueError, match="betas: expected numbers below 1"):
        optimizer.betas = (0.9, 1.0)
    with pytest.raises(ValueError, match="lr: expected a number in"):
        optimizer.param_groups[0]["lr"] = -1
    with pytest.raises(KeyError, match="unknown option 'rate'; there are lr, betas"):
        optimizer.param_groups[0]["rate"] = 1
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]
    assert optimizer.param_groups[1]["params"] == ["b", "c"]
    assert dict(optimizer.param_groups[1])["eps"] == 1e-8
    with pytest.raises(AttributeError, match="'Adam' object has no attribute 'momentum'"):
        optimizer.momentum  # noqa: B018


def test_momentum_of_one_group_alone():
    first, second = parameters()
    optimizer = pyrnn.SGD([{"params": first, "momentum": 0.9}, {"params": second}])
    assert list(optimizer.state_dict()["state"]["velocity"]) == ["a"]
    with pytest.raises(ValueError, match="momentum: expected one of 0, as at construction"):
        optimizer.momentum = 0.5
    assert optimizer.param_groups[0]["momentum"] == 0.9  # nothing has changed


@pytest.mark.parametrize("way", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_groups_travel(way, backend):
    first, second = parameters()
    optimizer = pyrnn.Adam([{"params": first, "lr": 0.3}, {"params": second}])
    optimizer.freeze("b")
    optimizer.step(gradients(0))
    twin = way(optimizer)
    optimizer.step(gradients(1))
    twin.step(gradients(1))
    moved = {n: p for group in twin.param_groups for n, p in group.parameters.items()}
    for name, array in {**first, **second}.items():
        assert np.array_equal(moved[name], array)
    assert twin.frozen == ["b"]


def test_a_state_dict_has_groups_and_what_is_frozen(backend):
    first, second = parameters()
    optimizer = pyrnn.Adam([{"params": first, "lr": 0.3}, {"params": second}])
    optimizer.freeze("c")
    optimizer.step(gradients(0))
    fresh = pyrnn.Adam([{"params": first}, {"params": second}])
    held = fresh.param_groups[0]
    fresh.load_state_dict(optimizer.state_dict())
    np.testing.assert_equal(fresh.state_dict(), optimizer.state_dict())
    assert held is fresh.param_groups[0]
    assert held["lr"] == 0.3
    with pytest.raises(ValueError, match="expected 1 groups"):
        pyrnn.Adam({**first, **second}).load_state_dict(optimizer.state_dict())


# --- frozen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_frozen_stays_with_its_moments(kind, backend):
    first, second = parameters()
    optimizer = kind({**first, **second}, lr=0.1)
    optimizer.step(gradients(0))
    kept = first["a"].copy(), optimizer.state_dict()["state"]
    optimizer.freeze("a")
    optimizer.step(gradients(1))
    optimizer.step({name: g for name, g in gradients(2).items() if name != "a"})
    assert np.array_equal(first["a"], kept[0])
    for moment, arrays in optimizer.state_dict()["state"].items():
        assert np.array_equal(arrays["a"], kept[1][moment]["a"])
        assert not np.array_equal(arrays["b"], kept[1][moment]["b"])
    optimizer.unfreeze()
    with pytest.raises(KeyError, match=r"grads: missing \['a'\]"):
        optimizer.step({name: g for name, g in gradients(2).items() if name != "a"})
    optimizer.step(gradients(3))
    assert not np.array_equal(first["a"], kept[0])


def test_patterns():
    model = pyrnn.merge_parameters(
        rnn=pyrnn.GRU(2, 3, 2, seed=0).parameters, out=pyrnn.Linear(3, 1, seed=1).parameters
    )
    optimizer = pyrnn.Adam(model)
    optimizer.freeze("rnn.*_l0", "out.bias")
    assert optimizer.frozen == [*(f"rnn.{n}_l0" for n in PARTS), "out.bias"]
    optimizer.unfreeze("rnn.bias*")
    assert optimizer.frozen == ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "out.bias"]
    for pattern, error in (("embedding.*", ValueError), (3, TypeError)):
        with pytest.raises(error, match="patterns: expected"):
            optimizer.freeze("out.*", pattern)
    assert optimizer.frozen == ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "out.bias"]


PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def test_all_frozen_is_no_step_at_all(backend):
    p = {"a": np.ones(2)}
    optimizer = pyrnn.SGD(p, lr=1.0)
    optimizer.freeze("*")
    optimizer.step({})
    assert p["a"].tolist() == [1, 1]


# --- errors ---------------------------------------------------------------------------------

ONE = np.ones(2)


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        ([], TypeError, "parameters: expected a dict of arrays or groups of them, got none"),
        ({"a": 3}, TypeError, "parameters"),
        ({}, ValueError, "parameters"),
        (3, TypeError, "parameters: expected a dict of arrays or groups of them, got int"),
        ([{"lr": 1}], TypeError, r"parameters\[0\]: expected a dict with 'params' and options"),
        (
            [{"params": {}}],
            ValueError,
            r"parameters\[0\]: expected one array or more, got an empty",
        ),
        ([{"params": [ONE]}], TypeError, r"parameters\[0\]: expected a dict of arrays, got list"),
        ([{"params": {"a": ONE}, "rate": 1}], KeyError, r"parameters\[0\]: unknown \['rate'\]"),
        ([{"params": {"a": ONE}, "lr": -1}], ValueError, "lr: expected a number in"),
        ([{"params": {"a": ONE}}] * 2, ValueError, r"parameters\[1\]: expected names that no othe"),
        (
            [{"params": {"a": ONE}}, {"params": {"b": ONE}}],
            ValueError,
            "parameters: expected arrays that share no memory, got 'a' and 'b'",
        ),
    ],
)
def test_wrong_groups(groups, error, words):
    with pytest.raises(error, match=words):
        pyrnn.SGD(groups)


@pytest.mark.parametrize("value", [3, None, [], [{"lr": 0.1}]])
def test_the_list_of_groups_cannot_be_replaced(value):
    optimizer = pyrnn.SGD({"w": np.zeros(2)}, lr=0.5)
    groups = optimizer.param_groups
    with pytest.raises(AttributeError, match="param_groups: expected options to be set in the"):
        optimizer.param_groups = value
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.param_groups is groups
    optimizer.step({"w": np.ones(2)})
    assert optimizer.lr == 0.5
