"""More threads than this machine has cores: the same bits, wakes for parts alone, idle workers."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from tests.core.threads.machines import FILES

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="/proc does not list the threads here"
)

MAKERS = {
    "lstm, split by sequences": (lambda: pyrnn.LSTM(24, 72, seed=0), (20, 130, 24)),
    "gru, split by units": (lambda: pyrnn.GRU(16, 600, seed=0), (12, 2, 16)),
    "both directions": (lambda: pyrnn.RNN(16, 96, bidirectional=True, seed=0), (40, 9, 16)),
    "linear": (lambda: pyrnn.Linear(300, 500, seed=0), (70, 300)),
}


def train(make, shape):
    layer = make()
    x = np.random.default_rng(0).standard_normal(shape).astype("f")
    y, state, cache = layer.forward(x)
    dx, dstate, grads = layer.backward(cache, np.cos(y))
    optimizer = pyrnn.Adam(layer.parameters, lr=0.1)
    optimizer.step(grads)
    return y, state, dx, dstate, grads, dict(layer.parameters)


@pytest.mark.parametrize(("make", "shape"), MAKERS.values(), ids=MAKERS)
def test_the_same_bits_on_4_to_1024_threads(make, shape, num_threads, same_bits):
    with num_threads(1):
        expected = train(make, shape)
    for count in (4, 8, 16, 32, 64, 1024):
        with num_threads(count):
            same_bits(train(make, shape), expected)


def test_an_idle_pool_uses_no_time(num_threads):
    """Workers look out for the next job for 0.1 ms, and then sleep."""
    make, shape = MAKERS["lstm, split by sequences"]
    with num_threads(64):
        train(make, shape)
        time.sleep(0.1)
        begin = time.process_time()
        time.sleep(0.5)
        used = time.process_time() - begin
    assert used < 0.02


JOBS = """
import sys, time
import numpy as np
import pyrnn
pyrnn.set_num_threads(int(sys.argv[1]))
both = pyrnn.LSTM(8, 40, bidirectional=True, seed=0)
x = np.zeros((200, 1, 8), "float32")
wide = pyrnn.Linear(2048, 2048, seed=0)
wide(np.zeros((256, 2048), "float32"))  # all workers have been started
for _ in range(int(sys.argv[2])):
    time.sleep(0.001)  # they sleep
    both(x)
"""
CALLS = ("futex", "sched_setaffinity", "sched_getaffinity")


def calls(threads, jobs):
    """How often the system was called to wake, wait or move a thread."""
    counted = subprocess.run(
        ["strace", "-f", "-c", "-e", "trace=" + ",".join(CALLS), sys.executable, "-P", "-c", JOBS,
         str(threads), str(jobs)],
        capture_output=True, text=True, timeout=120,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    if counted.returncode:
        pytest.skip(f"strace cannot be used here: {counted.stderr.strip().splitlines()[-1]}")
    lines = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) .*?(\w+)$", counted.stderr, re.MULTILINE)
    return sum(int(number) for number, name in lines if name in CALLS)


def test_calls_of_the_system_are_as_many_as_parts():
    """A job of two parts: with 64 threads as many as with 2, where all workers were woken once."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    jobs = 30
    of_a_job = {threads: (calls(threads, jobs) - calls(threads, 0)) / jobs for threads in (2, 64)}
    assert of_a_job[64] < of_a_job[2] + 12, of_a_job


def test_a_small_job_starts_few_of_many_threads(run_python):
    """The plan's costs grow with the threads: a step's work pays for some of them, not for 64."""
    code = """
import os
import numpy as np
import pyrnn
pyrnn.set_num_threads(64)
pyrnn.LSTM(8, 40, seed=0)(np.zeros((12, 64, 8), np.float32))
print(len(os.listdir("/proc/self/task")))
"""
    result = run_python("-c", code)
    assert int(result.stdout) <= 24, result


# --- hyper-threads --------------------------------------------------------------------------


def pairs(count, distance):
    """Hyper-threads that far apart, as Intel's (half of all) or AMD's (1) often are."""
    if distance == 1:
        return {n: f"{n - n % 2}-{n - n % 2 + 1}" for n in range(count)}
    return {n: f"{n % distance},{n % distance + distance}" for n in range(count)}


@pytest.mark.parametrize(
    ("first", "count", "siblings", "active", "threads"),
    [
        (0, 8, pairs(8, 4), "1", 4),
        (0, 8, pairs(8, 1), "1", 4),
        (4, 8, pairs(8, 4), "1", 4),  # the program may use one of each core
        (3, 8, pairs(8, 1), "1", 3),  # 3, 4 and 5, 6 and 7
        (0, 384, pairs(384, 192), "1", 192),
        (0, 16, {n: "0-3,8-11" if n % 8 < 4 else "4-7,12-15" for n in range(16)}, "1", 2),
        (0, 8, pairs(8, 4), "0", 8),  # switched off
        (0, 8, {}, None, 8),  # nothing is known
        (0, 8, dict.fromkeys(range(8), "?"), None, 8),
    ],
    ids=[
        "far", "near", "one of each", "some", "384", "four of a core", "off", "unknown", "damaged",
    ],
)  # fmt: skip
def test_one_thread_a_core(first, count, siblings, active, threads, run_python, compiled, tmp_path):
    folder = tmp_path / "sys/devices/system/cpu"
    for number, text in siblings.items():
        path = folder / f"cpu{number}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(text + "\n")
    if active is not None:
        (folder / "smt").mkdir(parents=True)
        (folder / "smt/active").write_text(active + "\n")
    library = compiled(FILES, FOLDER=f'"{tmp_path}"', FIRST=first, COUNT=count)
    result = run_python("-c", "import pyrnn; print(pyrnn.get_num_threads())", LD_PRELOAD=library)
    assert result.stdout.strip() == str(threads), result.stderr
