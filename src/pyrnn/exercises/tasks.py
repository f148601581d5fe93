"""The exercises, and how each checks the functions in a reader's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import pyrnn
from pyrnn._types import Array
from pyrnn.diagnostics._report import GradcheckReport
from pyrnn.diagnostics.flow import gradient_flow
from pyrnn.diagnostics.gradcheck import gradcheck
from pyrnn.diagnostics.gradcheck_loss import gradcheck_loss
from pyrnn.exercises import answers
from pyrnn.exercises.answers import complete
from pyrnn.exercises.hints import hint_of
from pyrnn.textbook.lstm import lstm_cell_forward
from pyrnn.textbook.rnn import rnn_cell_forward, rnn_forward

Functions = Mapping[str, Any]
"""What a reader's file defines."""

STEPS, WINDOW = 7, 3
LAG = 60


class Task(NamedTuple):
    """One exercise: its title, the functions that its stub has, its check.

    ``check`` returns hints; none if the exercise is solved.
    """

    title: str
    names: tuple[str, ...]
    check: Callable[[Functions], list[str]]


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def _rnn_parameters() -> dict[str, Array]:
    shapes = {"Wax": (5, 3), "Waa": (5, 5), "ba": (5, 1), "Wya": (4, 5), "by": (4, 1)}
    found: dict[str, Array] = {}
    for seed, (name, shape) in enumerate(shapes.items()):
        found[name] = _random(*shape, seed=seed) / 2
    return found


def _lstm_parameters() -> dict[str, Array]:
    found: dict[str, Array] = {"Wy": _random(2, 5), "by": _random(2, 1)}
    for seed, gate in enumerate("fico"):
        found[f"W{gate}"] = _random(5, 8, seed=seed) / 2
        found[f"b{gate}"] = _random(5, 1, seed=seed + 9) / 2
    return found


def _hints(report: GradcheckReport) -> list[str]:
    """What the diagnosis says, and a question for each region."""
    if report.ok:
        return []
    if not report.diagnosis:
        wrong = [n for n, entry in report.entries.items() if not entry.relative <= 1e-6]
        return [f"wrong in {', '.join(wrong)}; no rule fits, so check one line after the other"]
    return [f"{region}: {sentence}\n  {hint_of(region)}" for region, sentence in report.diagnosis]


def _cell(functions: Functions) -> list[str]:
    pair = rnn_cell_forward, complete(functions["rnn_cell_backward"], answers.CELL)
    arguments = _random(3, 2), _random(5, 2)
    return _hints(gradcheck(pair, *arguments, parameters=_rnn_parameters(), diagnose=True))


def _sequence(functions: Functions) -> list[str]:
    pair = rnn_forward, complete(functions["rnn_backward"], answers.SEQUENCE)
    arguments = _random(3, 2, STEPS), _random(5, 2)
    return _hints(gradcheck(pair, *arguments, parameters=_rnn_parameters(), diagnose=True))


def _output(functions: Functions) -> list[str]:
    own = complete(functions["loss_and_gradients"], answers.OUTPUT)

    def f(parameters: dict[str, Array], a: Array, targets: Array) -> Any:
        return own(a, targets, parameters)

    def data(steps: int, batch: int) -> tuple[Array, Any]:
        columns = steps * batch
        targets = np.random.default_rng(1).integers(0, 4, columns)
        return _random(5, columns), targets

    parameters = {"Wya": _random(4, 5), "by": _random(4, 1)}
    return _hints(gradcheck_loss(f, parameters, data, diagnose=True))


def _truncation(functions: Functions) -> list[str]:
    x, a0, parameters = _random(3, 1, STEPS), _random(5, 1), _rnn_parameters()
    _, _, caches = rnn_forward(x, a0, parameters)
    da = _random(5, 1, STEPS, seed=3)
    truncated_backward = complete(functions["truncated_backward"], answers.TRUNCATION)
    found = truncated_backward(da, caches, WINDOW)
    if not isinstance(found, Mapping):
        return [f"expected a dict with dWax, dWaa and dba, got {type(found).__name__}"]
    for name, right in _window(da, x, a0, parameters, WINDOW, WINDOW).items():
        if not np.allclose(found[name], right, rtol=1e-9):
            return [_truncation_hint(name, found[name], da, x, a0, parameters)]
    return []


def _window(
    da: Array, x: Array, a0: Array, parameters: Mapping[str, Array], k: int, slide: int
) -> dict[str, Array]:
    """The gradients with windows of k steps (``slide`` equal to k), or chunks (0)."""
    layer = pyrnn.RNN(3, 5, dtype="float64")
    layer.parameters["weight_ih_l0"][...] = parameters["Wax"]
    layer.parameters["weight_hh_l0"][...] = parameters["Waa"]
    layer.parameters["bias_ih_l0"][...] = parameters["ba"][:, 0]
    layer.parameters["bias_hh_l0"][...] = 0
    _, _, cache = layer.forward(x.transpose(2, 1, 0), a0.T[None])
    _, grads = layer.backward_truncated(cache, da.transpose(2, 1, 0), 1 if slide else k, k)
    return {
        "dWax": grads["weight_ih_l0"],
        "dWaa": grads["weight_hh_l0"],
        "dba": grads["bias_ih_l0"][:, None],
    }


def _truncation_hint(
    name: str, found: Any, da: Array, x: Array, a0: Array, parameters: Mapping[str, Array]
) -> str:
    others = {
        f"{WINDOW + 1} steps instead of {WINDOW}: is the step's own loss counted?": (WINDOW + 1, 1),
        f"{WINDOW - 1} steps instead of {WINDOW}: is the step's own loss counted twice?": (
            WINDOW - 1,
            1,
        ),
        "all steps: nothing is cut off": (STEPS, 1),
        f"chunks of {WINDOW}: the exercise asks for a sliding window": (WINDOW, 0),
    }
    for sentence, (k, slide) in others.items():
        if np.allclose(found, _window(da, x, a0, parameters, k, slide)[name], rtol=1e-9):
            return f"truncation: the gradient reaches back over {sentence}"
    return f"{name} is wrong, also for another number of steps. Solve 'bptt' first"


def _lstm(functions: Functions) -> list[str]:
    pair = lstm_cell_forward, complete(functions["lstm_cell_backward"], answers.LSTM)
    state = _random(5, 2), _random(5, 2, seed=1)
    return _hints(
        gradcheck(pair, _random(3, 2), state, parameters=_lstm_parameters(), diagnose=True)
    )


class _Residual:
    """The reader's step and its backward pass as a network over time."""

    def __init__(self, step: Callable[..., Any], step_backward: Callable[..., Any]) -> None:
        self._step, self._step_backward = step, step_backward
        self.parameters = {"W": _random(16, 4) / 4, "U": _random(16, 16) / 4}

    def forward(self, x: Array, state: Array | None = None) -> tuple[Array, Array, Any]:
        """All steps of x (T, N, 4)."""
        h = np.zeros((x.shape[1], 16)) if state is None else state
        states = [h]
        for x_t in x:
            states.append(self._step(x_t, states[-1], self.parameters))
        return np.array(states[1:]), states[-1], (x, states)

    def unread(self) -> str:
        """Which of W and U the states after two steps do not depend on."""
        x, p = _random(2, 2, 4), self.parameters
        after = self.forward(x)[0]
        unread = []
        for name in ("W", "U"):
            self.parameters = {**p, name: 2 * p[name]}
            if np.array_equal(self.forward(x)[0], after):
                unread.append(name)
        self.parameters = p
        return " and ".join(unread)

    def backward(self, cache: Any, dy: Array, dstate: Array | None = None) -> Any:
        """Last step first."""
        x, states = cache
        dh = np.zeros_like(states[0]) if dstate is None else dstate
        dx, grads = np.zeros(x.shape), {n: np.zeros_like(a) for n, a in self.parameters.items()}
        for t in reversed(range(len(x))):
            dx[t], dh, share = self._step_backward(dh + dy[t], x[t], states[t], self.parameters)
            for name, part in share.items():
                grads[name] += part
        return dx, dh, grads


def _residual(functions: Functions) -> list[str]:
    step_backward = complete(functions["step_backward"], answers.RESIDUAL)
    network = _Residual(complete(functions["step"], ()), step_backward)
    unread = network.unread()
    if unread:
        return [f"step does not depend on {unread}: h + g(x, h) is to be kept, and tamed"]
    hints = _hints(gradcheck(network, _random(4, 2, 4), _random(2, 16), diagnose=True))
    if hints:
        return hints
    norm = float(gradient_flow(network, _random(LAG, 8, 4), jacobians=False).norms["h"][LAG, 0])
    if norm > 10:
        return [
            f"explosion: after {LAG} steps the gradient is {norm:.0e} times as large. The Jacobian "
            "of h + g is I + dg/dh; how do you keep the product of 60 of them near 1?"
        ]
    if norm < 0.1:
        return [
            f"vanishing: after {LAG} steps {norm:.0e} of the gradient is left. What of h has to "
            "reach the next step unchanged?"
        ]
    return []


TASKS = {
    "cell": Task("one step of an RNN, backward", ("rnn_cell_backward",), _cell),
    "bptt": Task("back-propagation through time", ("rnn_backward",), _sequence),
    "output": Task("softmax, cross-entropy and their gradients", ("loss_and_gradients",), _output),
    "truncation": Task(f"a sliding window of {WINDOW} steps", ("truncated_backward",), _truncation),
    "lstm": Task("one step of an LSTM, backward", ("lstm_cell_backward",), _lstm),
    "residual": Task(
        "h + g(x, h): its gradient, and how to keep it from exploding",
        ("step", "step_backward"),
        _residual,
    ),
}
