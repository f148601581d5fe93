"""What the core keeps of the memory that calls gave back, as the system counts it (Linux)."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pyrnn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

SETUP = """
import os, resource, threading, time
import numpy as np, pyrnn
def mebibytes(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) // 1024
layer = pyrnn.LSTM(1, 256)
def train(steps):
    y, _, cache = layer.forward(np.zeros((steps, 128, 1), np.float32))
    layer.backward(cache, y)
wide, x = pyrnn.RNN(1, 16), np.zeros((500, 4000, 1), np.float32)
def fill(rows=4000):
    # 270 MiB of 4000 rows, with little to compute
    y, _, cache = wide.forward(x[:, :rows])
def held():
    return mebibytes("VmRSS") - before
def seconds_until_back(call=lambda: None):
    start = time.monotonic()
    while held() > 40 and time.monotonic() < start + 15:
        call()
        time.sleep(0.05)
    return round(time.monotonic() - start)
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
    """500 steps take some 385 MiB, most of them for what the backward pass needs."""
    used, kept = measured("""
train(500)
print(mebibytes("VmHWM") - before, held())
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
print(held())
for steps in [210, 390, 250, 330]:
    train(steps)
    print(held())
""")
    assert longest > 250
    assert all(abs(each - longest) < 0.03 * longest for each in after)


WHATEVER_FOLLOWS = {
    "nothing": "fill(); print(held(), seconds_until_back())",
    "small calls": """
fill()
print(held(), seconds_until_back(lambda: wide(x[:5, :1])))
""",
    "calls with large blocks": """
fill()
print(held(), seconds_until_back(lambda: wide(x[:100, :40])))
""",
    "stream steps": """
stream = layer.stream()
fill()
print(held(), seconds_until_back(lambda: stream.step(x[0, :1])))
""",
    "fewer results than before": """
results = [wide(x[:, 0].repeat(3, axis=0))[0] for _ in range(2500)]  # 100 KiB each
used = held()
del results[::2], results[:]
print(used, seconds_until_back())
""",
}


def test_memory_goes_back_within_seconds(measured):
    """Whatever is called after a large call, or nothing at all."""
    with ThreadPoolExecutor() as pool:
        for after, (used, seconds) in zip(
            WHATEVER_FOLLOWS, pool.map(measured, WHATEVER_FOLLOWS.values()), strict=True
        ):
            assert used > 180, after
            assert seconds <= 6, after


def test_release_memory_gives_all_back_at_once(measured):
    used, returned, left, again = measured("""
fill()
used = held()
returned = pyrnn.release_memory() >> 20
print(used, returned, held(), pyrnn.release_memory())
""")
    assert used > 180
    assert abs(returned - used) < 20
    assert left < 10
    assert again == 0


def test_release_memory_leaves_what_is_in_use(same_bits):
    layer = pyrnn.LSTM(3, 64, seed=0)
    x = np.ones((50, 40, 3), np.float32)
    expected, expected_grads = train(layer, x)
    stream = layer.stream(40)
    y, _, cache = layer.forward(x)
    pyrnn.release_memory()
    np.random.default_rng(0).random(10**6)  # takes the free memory, if it was in use
    same_bits(y, expected)
    same_bits(layer.backward(cache, np.ones_like(y))[2], expected_grads)
    same_bits(np.stack([stream.step(x_t) for x_t in x]), expected)


def train(layer, x):
    y, _, cache = layer.forward(x)
    return y, layer.backward(cache, np.ones_like(y))[2]


def test_equal_training_steps_fault_nothing_in(measured):
    """270 MiB would be 69,000 pages of 4 KiB, or 135 of 2 MiB."""
    faults = measured("""
for _ in range(3):
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    fill()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
""")
    assert faults[0] > 130
    assert max(faults[1:]) < 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_leaves_both_to_give_memory_back(measured):
    """The thread that gives memory back is not in the child; the child gets one of its own."""
    numbers = measured("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
fill()
used = held()
child = os.fork()
fill()
seconds = seconds_until_back()
if child == 0:
    os._exit(seconds)
print(used, seconds, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert numbers[0] > 180
    assert 1 <= numbers[1] <= 6
    assert 1 <= numbers[2] <= 6


def test_forks_of_several_threads_while_memory_is_given_back(measured):
    """Nobody waits for a lock or a thread that it does not have."""
    ends = measured("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
def forks():
    for _ in range(20):
        child = os.fork()
        if child == 0:
            fill(20)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ends = []
threads = [threading.Thread(target=forks) for _ in range(2)]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    fill(20)
print(*ends)
""")
    assert ends == [0] * 40


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


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_streams_share_their_weights(measured, mode):
    """200 streams of 7 MiB of weights: opened, copied, pickled beside their layer, and used."""
    opened, copied, unpickled, after = measured(f"""
import copy, pickle
layer = pyrnn.GRU(400, 400, 2, seed=0).{mode}()
one, before = layer.stream(), mebibytes("VmRSS")
streams = [layer.stream() for _ in range(200)]
print(held())
copies = [copy.deepcopy(stream) for stream in streams]
print(held())
data = pickle.dumps((layer, streams))
before = mebibytes("VmRSS")
layer, streams = pickle.loads(data)
print(held())
x_t = np.zeros((1, 400), np.float32)
for stream in streams:
    stream.step(x_t)
layer(x_t[None])
print(held())
""")
    assert opened < 10
    assert copied < 20
    assert unpickled < 45
    assert after < 45


def test_the_thread_that_gives_back_runs_where_the_program_may(measured):
    """Its maker may be pinned, and it takes no signal that is for the program's own threads."""
    allowed, own, blocked = measured("""
import signal
before_it = set(os.listdir("/proc/self/task"))
allowed = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(allowed)})
fill()
(watcher,) = set(os.listdir("/proc/self/task")) - before_it
time.sleep(0.2)
with open(f"/proc/self/task/{watcher}/status") as status:
    lines = dict(line.split(":", 1) for line in status)
print(len(allowed), len(os.sched_getaffinity(int(watcher))))
blocked = int(lines["SigBlk"], 16)
print(all(blocked >> number - 1 & 1 for number in (signal.SIGINT, signal.SIGTERM)) * 1)
""")
    assert own == allowed
    assert blocked == 1


def test_an_error_says_how_many_bytes_there_was_no_room_for(run_python):
    """The state and what backward needs of 20,000 steps take hundreds of MiB."""
    done = run_python(
        "-c",
        SETUP + "layer.forward(np.zeros((1, 1, 1), np.float32))\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (50 << 20), -1))\n"
        "try:\n    layer.forward(np.zeros((2000, 64, 1), np.float32))\n"
        "except MemoryError as error:\n    print(error)",
        PYRNN_NUM_THREADS="1",
    )
    words = done.stdout.split()
    assert [words[:2], words[3:]] == [["cannot", "allocate"], ["bytes"]], done.stderr
    assert int(words[2]) > 50 << 20
