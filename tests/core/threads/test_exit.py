"""Daemon threads inside calls of the core while the interpreter is taken down."""

import pytest

DAEMONS = """
import contextvars, sys, threading, time
import numpy as np
import pyrnn

def random(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

sys.setswitchinterval(1e-5)
pyrnn.set_num_threads(2)
layer = pyrnn.LSTM(16, 64, seed=0)
both = pyrnn.GRU(16, 64, bidirectional=True, seed=0)
linear = pyrnn.Linear(128, 300, seed=0)
embedding = pyrnn.Embedding(50, 300, seed=0)
stream = pyrnn.LSTM(64, 256, seed=0).eval().stream(4)
x, rows, tokens = random(50, 8, 16), random(200, 128), np.arange(5000) % 50
parameters = {"w": random(300_000)}
optimiser = pyrnn.Adam(parameters)

def train(layer, *arguments):
    y, *_, cache = layer.forward(*arguments)
    layer.backward(cache, y)

CALLS = {
    "forward": lambda: layer(x),
    "backward": lambda: train(layer, x),
    "both": lambda: train(both, x),
    "linear": lambda: train(linear, rows),
    "embedding": lambda: train(embedding, tokens),
    "stream": lambda: stream.step(np.zeros((4, 64), "float32")),
    "checked": lambda: stream.step(np.zeros((64, 4), "float32").T),
    "optimiser": lambda: optimiser.step({"w": parameters["w"] * 0.5}),
    "clipping": lambda: pyrnn.clip_grad_norm({"w": parameters["w"]}, 1.0),
}

def repeat(call):
    while True:
        call()

names = sys.argv[1].split()
for name in names:
    CALLS[name]()
for name in names * 2:
    threading.Thread(target=repeat, args=(CALLS[name],), daemon=True).start()
time.sleep(float(sys.argv[2]))
"""

ALL = "forward backward both linear embedding stream checked optimiser clipping"


@pytest.mark.parametrize("pause", [0.0, 0.013, 0.031, 0.05])
def test_daemon_threads_at_exit(run_python, pause):
    result = run_python("-c", DAEMONS, ALL, pause, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.long
@pytest.mark.parametrize("name", ALL.split())
def test_daemon_threads_of_one_kind_at_exit(run_python, name):
    for repetition in range(20):
        result = run_python("-c", DAEMONS, name, repetition * 0.003, timeout=60)
        assert (result.returncode, result.stderr) == (0, ""), repetition
