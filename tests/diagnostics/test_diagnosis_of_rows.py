"""The diagnosis of networks without biases, with rows for examples and with packed gates."""

import numpy as np
import pytest

import pyrnn
from tests.diagnostics.hand_written import lstm_parameters, rnn_functions, rnn_parameters
from tests.diagnostics.hand_written_rows import (
    packed_lstm,
    packed_parameters,
    regression_data,
    regression_loss,
    regression_parameters,
    word_data,
    word_loss,
    word_parameters,
)

WORDS = {
    "no target": "output layer",
    "V of the state before": "output layer",
    "probabilities handed down": "output layer",
    "no derivative": "activation",
    "carry without derivative": "carry",
    "W of the state after": "time index",
    "x of the last step": "time index",
    "W for W.T": "transpose",
    "clipped": "truncation",
}
REGRESSION = {
    "derivative 1 - h": "activation",
    "= for Wx": "accumulation",
    "state after": "time index",
    "no transpose": "transpose",
    "the carry added up": "carry",
}
PACKED = {
    "carry in place of its own": "carry",
    "forget gate of the step after": "carry",
    "forget gate without derivative": "activation",
    "-= for Wh": "accumulation",
    "bias not summed": "batch sum",
    "bias as a row": "batch sum",
    "Wx of the shape of its transpose": "transpose",
    "blocks of Wh for their transposes": "transpose",
}


def check(f, parameters, data, sized):
    if sized:
        return pyrnn.gradcheck_loss(f, parameters, data, diagnose=True)
    arguments = data(6, 3)
    return pyrnn.gradcheck_loss(lambda p: f(p, *arguments), parameters, diagnose=True)


def regions(report):
    return [region for region, _ in report.diagnosis]


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("fault", WORDS)
def test_a_fault_in_a_loss_over_words(fault, sized):
    report = check(word_loss(fault), word_parameters(), word_data, sized)
    assert not report
    assert regions(report) == [WORDS[fault]], str(report)


ONE_SIZE = [fault for fault in REGRESSION if fault != "the carry added up"]  # not to be told there


@pytest.mark.parametrize(
    ("fault", "sized"), [(f, True) for f in REGRESSION] + [(f, False) for f in ONE_SIZE]
)
def test_a_fault_in_a_regression(fault, sized):
    report = check(regression_loss(fault), regression_parameters(), regression_data, sized)
    assert regions(report) == [REGRESSION[fault]], str(report)


@pytest.mark.parametrize("sized", [True, False])
def test_truncation_without_biases(sized):
    for f, parameters, data in (
        (word_loss(k=3), word_parameters(), word_data),
        (regression_loss(k=2), regression_parameters(), regression_data),
    ):
        assert regions(check(f, parameters, data, sized)) == ["truncation"]


@pytest.mark.parametrize("sized", [True, False])
def test_right_losses_pass(sized):
    assert check(word_loss(), word_parameters(), word_data, sized)
    assert check(regression_loss(), regression_parameters(), regression_data, sized)


def check_packed(functions, steps=4, batch=2, features=4, hidden=3):
    random = np.random.default_rng(1).standard_normal
    x, h0 = random((steps, batch, features)), random((batch, hidden))
    parameters = packed_parameters(features, hidden)
    return pyrnn.gradcheck(functions, x, h0, parameters=parameters, diagnose=True)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("fault", PACKED)
def test_a_fault_in_an_lstm_of_packed_gates(fault, batch):
    report = check_packed(packed_lstm(fault), batch=batch)
    assert not report
    assert regions(report) == [PACKED[fault]], str(report)


@pytest.mark.parametrize("k", [2, 3])
def test_truncation_in_chunks(k):
    assert regions(check_packed(packed_lstm(k=k), steps=5)) == ["truncation"]


def test_right_functions_pass_even_where_all_sizes_are_equal():
    assert check_packed(packed_lstm())
    assert check_packed(packed_lstm(), 3, 3, 3, 3)
    parameters = rnn_parameters(3, 3)
    x, a0 = np.random.default_rng(0).standard_normal((2, 3, 3, 3))
    assert pyrnn.gradcheck(rnn_functions(), x, a0[0], parameters=parameters, diagnose=True)


def step_functions(fault):
    """One step of an LSTM, columns, with a fault in the output gate."""

    def forward(x, a, c, p):
        joint = np.concatenate([a, x])
        f, i, o = (1 / (1 + np.exp(-(p[f"W{g}"] @ joint + p[f"b{g}"]))) for g in "fio")
        g = np.tanh(p["Wc"] @ joint + p["bc"])
        c_next = f * c + i * g
        return o * np.tanh(c_next), c_next, (joint, c, f, i, o, g, np.tanh(c_next), p)

    def backward(da, dc_next, cache):
        joint, c, f, i, o, g, tanh_c, p = cache
        dc = dc_next + da * o * (1 - tanh_c**2)
        dz = {"f": dc * c * f * (1 - f), "i": dc * g * i * (1 - i), "c": dc * i * (1 - g * g)}
        dz["o"] = da * tanh_c * o * (1 if fault else 1 - o)
        down = sum(p[f"W{gate}"].T @ each for gate, each in dz.items())
        found = {f"dW{gate}": each @ joint.T for gate, each in dz.items()}
        found |= {f"db{gate}": each.sum(axis=1, keepdims=True) for gate, each in dz.items()}
        rows = len(c)
        return {"dx": down[rows:], "da_prev": down[:rows], "dc_prev": dc * f, **found}

    return forward, backward


@pytest.mark.parametrize("size", [2, 5])
def test_the_output_gate_of_one_step_is_no_output_layer(size):
    random = np.random.default_rng(0).standard_normal
    state = (random((5, size)), random((5, size)))
    parameters = lstm_parameters(n_x=5)
    for fault, expected in ((True, ["activation"]), (False, [])):
        report = pyrnn.gradcheck(
            step_functions(fault), random((5, size)), state, parameters=parameters, diagnose=True
        )
        assert regions(report) == expected, str(report)


def test_a_gradient_of_none_is_a_missing_one():
    forward, backward = packed_lstm()

    def without(dhs, cache):
        return {**backward(dhs, cache), "dWx": None}

    with pytest.raises(ValueError, match="backward: expected dWx in the dict that it returns"):
        check_packed((forward, without))
