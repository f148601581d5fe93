"""The diagnosis of loss functions over networks with gates."""

import numpy as np
import pytest

import pyrnn
from tests.diagnostics.hand_written import (
    gru_functions,
    gru_parameters,
    lstm_functions,
    lstm_parameters,
    softmax,
)

LSTM = {
    "no carry of da": "carry",
    "no carry of dc": "carry",
    "dc without the forget gate": "carry",
    "derivative of tanh(c)": "activation",
    "derivative of the forget gate": "activation",
    "derivative of the input gate": "activation",
    "state after": "time index",
    "= for Wi": "accumulation",
    "W for W.T": "transpose",
}
GRU = {
    "no carry": "carry",
    "no carry past the gates": "carry",
    "no carry through the gates": "carry",
    "derivative of the candidate": "activation",
    "derivative of the reset gate": "activation",
    "state after": "time index",
    "= for Wr": "accumulation",
    "W for W.T": "transpose",
}
CASES = [(lstm_functions, fault) for fault in LSTM] + [(gru_functions, fault) for fault in GRU]


def loss_of(functions):
    """The cross-entropy of a softmax over the states of a pair of functions."""
    forward, backward = functions

    def f(parameters, x, targets):
        V = parameters["V"]
        a, *_, caches = forward(x, np.zeros((V.shape[1], x.shape[1])), parameters)
        chances = softmax(np.einsum("ya,amt->ymt", V, a))
        error = chances - np.moveaxis(np.eye(len(V))[targets], 2, 0)
        loss = -np.log((chances * (chances - error)).sum(axis=0)).sum()
        dV = np.einsum("ymt,amt->ya", error, a)
        return loss, {**backward(np.einsum("ya,ymt->amt", V, error), caches), "dV": dV}

    return f


def data(steps, batch):
    g = np.random.default_rng(3)
    return g.standard_normal((4, batch, steps)), g.integers(0, 3, (batch, steps))


def check(make, fault, sized):
    parameters = lstm_parameters() if make is lstm_functions else gru_parameters()
    parameters = {n: a for n, a in parameters.items() if n not in ("Wy", "by")}
    parameters["V"] = np.random.default_rng(1).standard_normal((3, 5))
    # Wy and by do not count in the loss: the functions' own predictions are not used.
    unused = {"Wy": np.zeros((3, 5)), "by": np.zeros((3, 1))}
    f = loss_of(make(fault))
    if sized:
        return pyrnn.gradcheck_loss(
            lambda p, *rest: f({**unused, **p}, *rest), parameters, data, diagnose=True
        )
    arguments = data(5, 2)
    return pyrnn.gradcheck_loss(lambda p: f({**unused, **p}, *arguments), parameters, diagnose=True)


@pytest.mark.parametrize(
    ("make", "fault"),
    [*CASES[::2], *(pytest.param(*case, marks=pytest.mark.long) for case in CASES[1::2])],
)
def test_a_fault_is_named_where_sizes_can_be_tried(make, fault):
    expected = (LSTM if make is lstm_functions else GRU)[fault]
    report = check(make, fault, sized=True)
    assert [region for region, _ in report.diagnosis] == [expected], str(report)


@pytest.mark.parametrize(("make", "fault"), CASES[::6])
def test_with_one_size_no_wrong_region_is_named(make, fault):
    expected = (LSTM if make is lstm_functions else GRU)[fault]
    report = check(make, fault, sized=False)
    assert not report
    assert {region for region, _ in report.diagnosis} <= {expected}, str(report)


@pytest.mark.parametrize("make", [lstm_functions, gru_functions])
def test_right_losses_pass(make):
    assert check(make, None, sized=True)
