"""What the core keeps of the memory that calls gave back, as the system counts it (Linux)."""

import sys
import time

import numpy as np
import pytest

import pyrnn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

SETUP = """
import numpy as np, pyrnn
def mebibytes(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) // 1024
layer = pyrnn.LSTM(1, 256)
def train(steps):
    y, _, cache = layer.forward(np.zeros((steps, 128, 1), np.float32))
    layer.backward(cache, y)
before = mebibytes("VmRSS")
"""


@pytest.fixture
def measured(run_python):
    """``measured(code)``: the numbers that a process prints after the setup above."""

    def measure(code):
        done = run_python("-c", SETUP + code, PYRNN_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr
        return [int(number) for number in done.stdout.split()]

    return measure


def test_buffers_of_a_large_call_wait_for_the_next(measured):
    """500 steps take some 385 MiB, most of them for what the way back needs."""
    used, kept = measured("""
train(500)
print(mebibytes("VmHWM") - before, mebibytes("VmRSS") - before)
""")
    assert used > 300
    assert kept > 0.8 * used


def test_calls_of_many_sizes_take_no_more_than_the_largest(measured):
    alone, *_ = measured("""
train(400)
print(mebibytes("VmHWM") - before)
""")
    many, *_ = measured("""
for steps in [400, *range(200, 400, 20)]:
    train(steps)
print(mebibytes("VmHWM") - before)
""")
    assert many < 1.05 * alone + 128


def test_shorter_calls_use_the_memory_of_longer_ones(measured):
    """Lengths of more than half of the longest need no memory of their own, and free none."""
    longest, *after = measured("""
train(400)
print(mebibytes("VmRSS") - before)
for steps in [210, 390, 250, 330]:
    train(steps)
    print(mebibytes("VmRSS") - before)
""")
    assert longest > 250
    assert all(abs(each - longest) < 0.03 * longest for each in after)


def test_many_results_are_given_back_in_any_order():
    """Nothing is searched for: that would take seconds where making them took one."""
    layer = pyrnn.RNN(4, 100).eval()
    x = np.zeros((100, 1, 4), np.float32)
    start = time.perf_counter()
    results = [layer(x)[0] for _ in range(10_000)]
    made = time.perf_counter()
    np.random.default_rng(0).shuffle(results)
    shuffled = time.perf_counter()
    results.clear()
    assert time.perf_counter() - shuffled < made - start
