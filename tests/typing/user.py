"""What users write, which type checkers must understand without a complaint; it is not run."""

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import pyrnn
from pyrnn.typing import Array, Cache, DTypeLike, LSTMState

x = np.ones((5, 2, 3), np.float32)


def layers(dtype: DTypeLike) -> None:
    gru = pyrnn.GRU(3, 4, dtype=dtype, reset_after=False)
    y, h = gru(x, lengths=[5, 2])
    assert_type(y, Array)
    assert_type(h, Array)
    y, h, cache = gru.forward(x, h)
    dx, dh, grads = gru.backward(cache, np.ones_like(y), h)
    assert_type(dx, Array | None)
    assert_type(dh, Array)
    assert_type(grads, dict[str, Array])
    assert_type(gru.hidden_size, int)
    assert_type(gru.batch_first, bool)
    assert_type(gru.seed, int | None)
    gru.dropout = 0.5


def pairs() -> LSTMState:
    lstm = pyrnn.LSTM(3, 4, initialization="glorot", dtype=np.float64)
    _, (h, c) = lstm(x)
    assert_type(c, Array)
    _, state, _ = lstm.forward(x, (h, None))
    assert_type(state, tuple[Array, Array])
    cell = pyrnn.LSTMCell(3, 4, proj_size=2)
    return cell(x[0], state)


def vanilla(nonlinearity: str) -> pyrnn.RNN:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(nonlinearity)
    return pyrnn.RNN(3, 4, nonlinearity="relu" if nonlinearity == "relu" else "tanh")


def stream(frames: npt.NDArray[np.float32]) -> list[Array]:
    lstm = pyrnn.LSTM(3, 4)
    running = lstm.eval().stream()
    written = [running.step(frame) for frame in frames]
    h, c = running.state
    running.state = (h, c)
    running.reset([0])
    other: pyrnn.Stream = pyrnn.GRU(3, 4).stream(2)
    other.reset()
    return written


class Scale(pyrnn.Layer):
    def __init__(self, size: int) -> None:
        super().__init__({"factor": np.ones(size)}, "float64")

    def forward(self, x: Array, state: None = None) -> tuple[Array, None, Array]:
        return x * self.parameters["factor"], None, x

    def backward(
        self, cache: Array, dy: Array, dstate: None = None
    ) -> tuple[Array, None, dict[str, Array]]:
        return dy * self.parameters["factor"], None, {"factor": (dy * cache).sum(axis=0)}


def train(model: pyrnn.Sequential, batches: list[tuple[Array, npt.NDArray[np.int64]]]) -> float:
    optimizer = pyrnn.Adam(model.parameters, lr=1e-2)
    total = 0.0
    for inputs, targets in batches:
        logits, _, cache = model.forward(inputs)
        loss, dlogits = pyrnn.softmax_cross_entropy(logits, targets)
        _, _, grads = model.backward(cache, dlogits)
        pyrnn.clip_grad_norm(grads, 1.0)
        optimizer.step(grads)
        total += loss
    return total


def keep(cache: Cache, layer: pyrnn.Layer) -> int:
    assert_type(layer.parameters["a"], Array)
    assert_type(layer.num_parameters, int)
    with pyrnn.use_backend("reference"):
        return layer.eval().train().num_parameters + len(cache.output_shape)


def model() -> str:
    made = pyrnn.CharacterModel("abc", cell="gru", embedding_dim=3)
    again = pyrnn.CharacterModel.from_config(made.config())
    assert_type(again, pyrnn.CharacterModel)
    assert_type(pyrnn.gradcheck(Scale(3), np.ones((2, 3))).ok, bool)
    return again.sample("a", 3)
