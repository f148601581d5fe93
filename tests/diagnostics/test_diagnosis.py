"""The diagnosis names the region of each deliberate fault, and finds nothing in right functions."""

import numpy as np
import pytest

import pyrnn
from pyrnn import textbook
from pyrnn.textbook.cells import RNNCell
from tests.diagnostics.hand_written import (
    Model,
    character_data,
    character_loss,
    character_parameters,
    gru_functions,
    gru_parameters,
    lstm_functions,
    lstm_parameters,
    rnn_functions,
    rnn_parameters,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def regions(report):
    return [region for region, _ in report.diagnosis]


RNN_FAULTS = {
    "derivative 1 - a": "activation",
    "derivative (1 - a)^2": "activation",
    "no derivative": "activation",
    "derivative of the sigmoid": "activation",
    "da_prev without derivative": "activation",
    "softmax over the whole array": "softmax axis",
    "softmax over the sequences": "softmax axis",
    "stale activation": "time index",
    "a step left out": "time index",
    "gradient of another step": "time index",
    "state after in dWaa": "time index",
    "x of the last step": "time index",
    "x of the step before": "time index",
    "state that never moves": "time index",
    "bias not summed": "batch sum",
    "bias of the first sequence": "batch sum",
    "bias a mean": "batch sum",
    "weights a mean": "batch sum",
    "dWaa transposed": "transpose",
    "Waa for Waa.T": "transpose",
    "no carry": "carry",
    "half the carry": "carry",
    "= for Wax": "accumulation",
    "= for Waa": "accumulation",
    "= for ba": "accumulation",
    "= for all": "accumulation",
    "mean over steps in Wax": "accumulation",
}

LSTM_FAULTS = {
    "no carry of da": "carry",
    "no carry of dc": "carry",
    "dc without the forget gate": "carry",
    "derivative of tanh(c)": "activation",
    "derivative of the forget gate": "activation",
    "derivative of the input gate": "activation",
    "state after": "time index",
    "bias a mean": "batch sum",
    "= for Wi": "accumulation",
    "W for W.T": "transpose",
}

LOSS_FAULTS = {
    "softmax over the sequences": "softmax axis",
    "loss over T": "output layer",
    "loss in bits": "output layer",
    "gradient of the logits": "output layer",
    "Why of the state before": "output layer",
    "probabilities handed down": "output layer",
    "no carry": "carry",
    "Whh for Whh.T": "transpose",
    "dWhh transposed": "transpose",
    "derivative 1 - h": "activation",
    "no derivative": "activation",
    "stale activation": "time index",
    "state after in dWhh": "time index",
    "x of the last step": "time index",
    "bias a mean": "batch sum",
    "= for Wxh": "accumulation",
    "= for bh": "accumulation",
}

MODEL_FAULTS = {
    "other parameters": "not live",
    "another U": "not live",
    "final state's gradient left out": "carry",
    "no carry": "carry",
    "V of the state before": "output layer",
    "half of what V hands down": "output layer",
    "c a mean": "batch sum",
    "derivative": "activation",
    "U for U.T": "transpose",
}


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("fault", RNN_FAULTS)
def test_a_fault_in_functions_of_an_rnn(fault, sequences):
    report = pyrnn.gradcheck(
        rnn_functions(fault),
        random(5, sequences, 4),
        random(6, sequences, seed=1),
        parameters=rnn_parameters(),
        diagnose=True,
    )
    assert not report
    assert regions(report) == [RNN_FAULTS[fault]], str(report)


@pytest.mark.parametrize("fault", LSTM_FAULTS)
def test_a_fault_in_functions_of_an_lstm(fault):
    report = pyrnn.gradcheck(
        lstm_functions(fault),
        random(4, 2, 3),
        random(5, 2, seed=1),
        parameters=lstm_parameters(),
        diagnose=True,
    )
    assert not report
    assert set(regions(report)) == {LSTM_FAULTS[fault]}, str(report)


GRU_FAULTS = {
    "no carry": "carry",
    "no carry past the gates": "carry",
    "no carry through the gates": "carry",
    "derivative of the candidate": "activation",
    "derivative of the update gate": "activation",
    "derivative of the reset gate": "activation",
    "state after": "time index",
    "bias a mean": "batch sum",
    "= for Wr": "accumulation",
    "= for dx": "accumulation",
    "x of the last step": "time index",
    "candidate's state not reset": "time index",
    "W for W.T": "transpose",
}


@pytest.mark.parametrize("fault", GRU_FAULTS)
def test_a_fault_in_functions_of_a_gru(fault):
    report = pyrnn.gradcheck(
        gru_functions(fault),
        random(4, 2, 3),
        random(5, 2, seed=1),
        parameters=gru_parameters(),
        diagnose=True,
    )
    assert not report
    assert set(regions(report)) == {GRU_FAULTS[fault]}, str(report)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_truncation_is_told_with_its_length(k):
    report = pyrnn.gradcheck(
        rnn_functions(k=k),
        random(5, 2, 7),
        random(6, 2, seed=1),
        parameters=rnn_parameters(),
        diagnose=True,
    )
    ((region, sentence),) = report.diagnosis
    assert region == ("carry" if k == 1 else "truncation")
    if k > 1:
        assert f"over {k} steps only" in sentence
        assert "by design" in sentence


@pytest.mark.parametrize("fault", LOSS_FAULTS)
@pytest.mark.parametrize("sized", [True, False])
def test_a_fault_in_a_loss_function(fault, sized):
    assert regions(check_loss(character_loss(fault), sized)) == [LOSS_FAULTS[fault]]


def test_a_softmax_over_everything_is_told_from_the_output_layer_by_sizes():
    f = character_loss("softmax over all")
    assert regions(check_loss(f, sized=True)) == ["softmax axis"]
    assert regions(check_loss(f, sized=False)) == ["output layer", "softmax axis"]


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_truncation_in_a_loss_function(k, sized):
    ((region, sentence),) = check_loss(character_loss(k=k), sized).diagnosis
    assert region == ("carry" if k == 1 else "truncation")
    assert k == 1 or f"over {k} steps only" in sentence


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_fault_in_a_model_of_ones_own(fault):
    report = pyrnn.gradcheck(Model(fault), random(5, 3, 4), diagnose=True)
    assert not report
    assert regions(report) == [MODEL_FAULTS[fault]], str(report)


def check_loss(f, sized):
    data = character_data()
    if sized:
        return pyrnn.gradcheck_loss(f, character_parameters(), data, diagnose=True)
    arguments = data(7, 3)
    return pyrnn.gradcheck_loss(
        lambda parameters: f(parameters, *arguments), character_parameters(), diagnose=True
    )


RIGHT = {
    "hand-written GRU": lambda: (gru_functions(), random(4, 3, 4), random(5, 3), gru_parameters()),
    "hand-written RNN": lambda: (rnn_functions(), random(5, 3, 4), random(6, 3), rnn_parameters()),
    "hand-written LSTM": lambda: (
        lstm_functions(),
        random(4, 3, 4),
        random(5, 3),
        lstm_parameters(),
    ),
    "textbook RNN": lambda: (
        (textbook.rnn_forward, textbook.rnn_backward),
        random(5, 3, 4),
        random(6, 3),
        rnn_parameters(),
    ),
    "textbook RNN cell": lambda: (
        (textbook.rnn_cell_forward, textbook.rnn_cell_backward),
        random(5, 3),
        random(6, 3),
        rnn_parameters(),
    ),
    "textbook LSTM": lambda: (
        (textbook.lstm_forward, textbook.lstm_backward),
        random(4, 3, 4),
        random(5, 3),
        lstm_parameters(),
    ),
    "textbook LSTM cell": lambda: (
        (textbook.lstm_cell_forward, textbook.lstm_cell_backward),
        random(4, 3),
        (random(5, 3), random(5, 3, seed=1)),
        lstm_parameters(),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_pass(name, backend):
    functions, x, state, parameters = RIGHT[name]()
    report = pyrnn.gradcheck(functions, x, state, parameters=parameters, diagnose=True)
    assert report, str(report)
    assert report.diagnosis == ()
    assert {"x", *(n for n in parameters if n.endswith("ax") or n == "Wf")} <= set(report.entries)


def test_functions_with_a_row_for_each_example_pass():
    def forward(x, h0, p):
        states = [h0]
        for x_t in x:
            states.append(np.tanh(x_t @ p["W"].T + states[-1] @ p["U"].T))
        return np.array(states[1:]), (x, states, p)

    def backward(dh, cache):
        x, states, p = cache
        dx, carried = np.zeros_like(x), 0.0
        found = {"dW": 0.0, "dU": 0.0}
        for t in reversed(range(len(x))):
            dz = (dh[t] + carried) * (1 - states[t + 1] ** 2)
            found["dW"] += dz.T @ x[t]
            found["dU"] += dz.T @ states[t]
            dx[t], carried = dz @ p["W"], dz @ p["U"]
        return {"dx": dx, "dh0": carried, **found}

    parameters = {"W": random(6, 5), "U": random(6, 6, seed=1)}
    report = pyrnn.gradcheck(
        (forward, backward), random(4, 3, 5), random(3, 6), parameters=parameters, diagnose=True
    )
    assert report, str(report)


def test_a_right_model_and_a_right_loss_pass():
    assert pyrnn.gradcheck(Model(), random(5, 3, 4), diagnose=True)
    assert check_loss(character_loss(), sized=True)
    assert check_loss(character_loss(), sized=False)


LAYERS = {
    "bidirectional GRU": lambda: pyrnn.GRU(2, 3, 2, bidirectional=True, dtype="float64", seed=0),
    "batch_first LSTM": lambda: pyrnn.LSTM(2, 3, batch_first=True, dtype="float64", seed=0),
    "layer norm": lambda: pyrnn.LSTM(2, 3, layer_norm=True, dtype="float64", seed=0),
    "MinGRU": lambda: pyrnn.MinGRU(2, 3, dtype="float64", seed=0),
    "Linear": lambda: pyrnn.Linear(2, 3, dtype="float64", seed=0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_pass(name):
    assert pyrnn.gradcheck(LAYERS[name](), random(4, 2, 2), diagnose=True)


def test_layers_with_indices_and_cells_pass():
    layer = pyrnn.LSTM(7, 3, dtype="float64", seed=0)
    assert pyrnn.gradcheck(layer, np.array([[1, 2], [3, 6], [0, 0]]), diagnose=True)
    assert pyrnn.gradcheck(pyrnn.LSTMCell(2, 3, dtype="float64"), random(4, 2), diagnose=True)
    assert pyrnn.gradcheck(pyrnn.GRU(2, 3, dtype="float64"), random(4, 2), diagnose=True)


def test_a_stateful_cell_is_checked():
    cell = RNNCell(random(5, 4), random(5, 5), random(5), random(5))
    report = pyrnn.gradcheck(cell, random(6, 3, 4), random(3, 5), diagnose=True)
    assert report
    assert list(report.entries) == [
        "x",
        "state",
        "weight_ih",
        "weight_hh",
        "bias_ih",
        "bias_hh",
    ]


class ForgetfulCell(RNNCell):
    """A stateful cell that never hands dh back."""

    def backward(self, dh):
        found = super().backward(dh)
        self.prev_dh = np.zeros_like(self.prev_dh)
        return found


def test_a_stateful_cell_that_forgets_its_gradient():
    cell = ForgetfulCell(random(5, 4), random(5, 5), random(5), random(5))
    assert regions(pyrnn.gradcheck(cell, random(6, 3, 4), random(3, 5), diagnose=True)) == ["carry"]


def test_without_diagnose_a_wrong_shape_is_refused_and_with_it_explained():
    functions, parameters = rnn_functions("bias not summed"), rnn_parameters()
    arguments = random(5, 3, 4), random(6, 3)
    with pytest.raises(
        ValueError, match=r"ba: expected a gradient of shape \(6, 1\), got \(6, 3\)"
    ):
        pyrnn.gradcheck(functions, *arguments, parameters=parameters)
    report = pyrnn.gradcheck(functions, *arguments, parameters=parameters, diagnose=True)
    assert report.entries["ba"].relative == np.inf
    assert "batch sum: the gradient of ba has shape" in str(report)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x, a0, p: (x, None, p), TypeError, "state: expected the first state"),
        (lambda x, a0, p: (x, a0, None), TypeError, "parameters: expected the dict"),
        (lambda x, a0, p: (x, a0, {**p, "Wax": "W"}), TypeError, r"parameters\['Wax'\]"),
    ],
)
def test_arguments_that_are_missing_are_named(change, error, message):
    x, a0, parameters = change(random(5, 3, 4), random(6, 3), rnn_parameters())
    with pytest.raises(error, match=message):
        pyrnn.gradcheck(rnn_functions(), x, a0, parameters=parameters)


def test_what_functions_return_is_named():
    forward, backward = rnn_functions()
    arguments = {"x": random(5, 3, 4), "state": random(6, 3), "parameters": rnn_parameters()}
    with pytest.raises(TypeError, match=r"backward: expected a dict of gradients .*got list"):
        pyrnn.gradcheck((forward, lambda da, caches: [da]), **arguments)
    with pytest.raises(ValueError, match=r"with names such as dWax, .*\['dx'\]"):
        pyrnn.gradcheck((forward, lambda da, caches: {"dx": da}), **arguments)
    with pytest.raises(TypeError, match="forward: expected a tuple"):
        pyrnn.gradcheck((lambda x, a0, p: x, backward), **arguments)


@pytest.mark.parametrize("diagnose", [False, True])
def test_a_gradient_that_is_left_out_is_named(diagnose):
    """Wya and by have none, as the states do not depend on them; ba has one."""
    forward, backward = rnn_functions()

    def without_bias(da, caches):
        return {name: value for name, value in backward(da, caches).items() if name != "dba"}

    arguments = {"x": random(5, 3, 4), "state": random(6, 3), "parameters": rnn_parameters()}
    with pytest.raises(ValueError, match="backward: expected dba in the dict that it returns"):
        pyrnn.gradcheck((forward, without_bias), **arguments, diagnose=diagnose)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (
            lambda p: 1.0,
            TypeError,
            r"f: expected \(loss, gradients\) with gradients of w, got float",
        ),
        (lambda p: (1.0, {}), ValueError, "missing: w"),
        (
            lambda p: (np.ones(2), {"w": p["w"]}),
            ValueError,
            r"of one number, got shape \(2,\)",
        ),
        (lambda p: (1.0, {"w": np.ones(2)}), ValueError, r"w: expected a gradient of shape"),
        (lambda p: (np.nan, {"w": p["w"]}), ValueError, "expected finite outputs"),
        ("f", TypeError, "f: expected a function, got str"),
    ],
)
def test_what_a_loss_function_returns_is_named(f, error, message):
    with pytest.raises(error, match=message):
        pyrnn.gradcheck_loss(f, {"w": np.ones(3)})


def test_gradients_of_a_loss_may_be_named_or_in_order():
    p = {"a": np.ones(2), "b": np.ones((2, 2))}

    def loss(q):
        return (q["a"] ** 2).sum() + (q["b"] ** 3).sum()

    for returned in (
        lambda q: (loss(q), {"a": 2 * q["a"], "b": 3 * q["b"] ** 2}),
        lambda q: (loss(q), {"da": 2 * q["a"], "db": 3 * q["b"] ** 2}),
        lambda q: (loss(q), [2 * q["a"], 3 * q["b"] ** 2]),
        lambda q: (loss(q), 2 * q["a"], 3 * q["b"] ** 2, "state"),
    ):
        assert pyrnn.gradcheck_loss(returned, p, diagnose=True)
