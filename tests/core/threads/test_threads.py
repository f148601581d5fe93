"""Threads of the core and of Python, and processes: right results, no lock held, no hang."""

import contextlib
import contextvars
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from bench.modes import busy

linux = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="/proc does not list the threads here"
)


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def train(layer, x):
    """Everything a training step gives."""
    y, state, cache = layer.forward(x)
    return y, state, *layer.backward(cache, np.ones_like(y))


def in_threads(function, arguments):
    """``function(argument)`` of each, all at once, in the context of the caller."""
    barrier = threading.Barrier(len(arguments))

    def call(argument):
        barrier.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        futures = [pool.submit(contextvars.copy_context().run, call, a) for a in arguments]
        return [future.result(timeout=300) for future in futures]


# --- which threads compute ------------------------------------------------------------------


def seconds_of_others():
    """Processor time that the other threads of this process have used."""
    own = str(threading.get_native_id())
    return sum(
        int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path("/proc/self/task").iterdir()
        if task.name != own
    )


def wait_until_others_sleep():
    """NumPy's own threads spin for a while after a product of an earlier test."""
    for _ in range(100):
        before = seconds_of_others()
        time.sleep(0.01)
        if seconds_of_others() - before < 1e-4:
            return


def share_of_others(layer, x):
    """What other threads computed of a call, over what its own did: less if they woke late."""
    wait_until_others_sleep()
    own, others = time.thread_time(), seconds_of_others()
    train(layer, x)
    return (seconds_of_others() - others) / (time.thread_time() - own)


def has_large_share(layer, x):
    """Within 30 seconds: another process may keep the other threads waiting."""
    end = time.monotonic() + 30
    while share_of_others(layer, x) <= 0.25:
        if time.monotonic() > end:
            return False
    return True


@linux
@pytest.mark.parametrize(
    ("time_steps", "batch_size", "hidden_size", "bidirectional"),
    [(150, 1, 512, False), (60, 48, 60, False), (200, 1, 60, True)],
    ids=["units", "rows", "directions"],
)
def test_large_calls_are_spread_over_threads(
    make_layer, num_threads, time_steps, batch_size, hidden_size, bidirectional
):
    """One sequence can only be split by units, and 60 units only by sequences or directions."""
    layer = make_layer(40, hidden_size, bidirectional=bidirectional, seed=0)
    x = random(time_steps, batch_size, 40)
    with num_threads(1):
        assert max(share_of_others(layer, x) for _ in range(10)) < 0.05
    with num_threads(2):
        assert has_large_share(layer, x)


def test_number_of_threads_back_and_forth(make_layer, num_threads, same_bits):
    layer = make_layer(20, 200, seed=0)
    x = random(6, 9, 20)
    expected = train(layer, x)
    for count in [1, 8, 2, 5, 1, 3, 4, 7, 6, 2]:
        with num_threads(count):
            assert pyrnn.get_num_threads() == count
            same_bits(train(layer, x), expected, f"{count} threads")


COUNT = "import pyrnn; print(pyrnn.get_num_threads())"


@pytest.mark.parametrize("wanted", ["1", "3"])
def test_variable_sets_the_number_of_threads(run_python, wanted):
    result = run_python("-c", COUNT, PYRNN_NUM_THREADS=wanted)
    assert result.stdout.strip() == wanted, result.stderr


@pytest.mark.parametrize("wanted", ["two", "0", "-1", "2x", "1025", "99999999999", "1.5", " "])
def test_variable_that_is_no_number_of_threads(run_python, wanted):
    result = run_python("-c", COUNT, PYRNN_NUM_THREADS=wanted)
    message = f"PYRNN_NUM_THREADS: expected a whole number from 1 to 1024, got '{wanted}'"
    assert f"ValueError: {message}" in result.stderr
    assert result.returncode == 1


@pytest.mark.parametrize("text", ["1", " 1", "1,4", "1 "])
def test_the_limit_of_a_worker(run_python, text):
    """As joblib, Dask and Ray set it in the processes that they start."""
    assert run_python("-c", COUNT, OMP_NUM_THREADS=text).stdout.strip() == "1"
    assert (
        run_python("-c", COUNT, OMP_NUM_THREADS=text, PYRNN_NUM_THREADS="3").stdout.strip() == "3"
    )


@pytest.mark.parametrize("text", ["", "0", "-2", "many", "1000", "99999999999999999999"])
def test_other_values_of_that_variable_change_nothing(run_python, text):
    usual = run_python("-c", COUNT).stdout
    assert run_python("-c", COUNT, OMP_NUM_THREADS=text).stdout == usual


def test_empty_variable_counts_as_none(run_python):
    result = run_python("-c", COUNT, PYRNN_NUM_THREADS="")
    assert int(result.stdout) >= 1, result.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity_limits_the_number_of_threads(run_python):
    result = run_python("-c", COUNT)
    assert 1 <= int(result.stdout) <= len(os.sched_getaffinity(0)), result.stderr
    pin = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    result = run_python("-c", pin + COUNT)
    assert result.stdout.strip() == "1", result.stderr


# --- threads of Python ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_concurrent_calls_are_right(make_layer, num_threads, same_bits, count):
    """Each thread has its layer and input; some find the workers taken and compute alone."""
    jobs = [
        (
            make_layer(size, 40 + 30 * size, bidirectional=bidirectional, seed=size),
            random(8, 1 + 7 * size, size),
        )
        for size, bidirectional in enumerate([False, True, False, True], 1)
    ]
    with num_threads(count):
        expected = [train(*job) for job in jobs]

        def repeat(number):
            for _ in range(10):
                same_bits(train(*jobs[number]), expected[number], f"job {number}")

        in_threads(repeat, range(len(jobs)))


def test_one_layer_serves_several_threads(make_layer, num_threads, same_bits):
    """In eval mode they share the packed weights."""
    layer = make_layer(20, 130, 2, seed=0).eval()
    inputs = [random(7, 5, 20, seed=seed) for seed in range(4)]
    with num_threads(2):
        expected = [layer(x) for x in inputs]

        def repeat(number):
            for _ in range(30):
                same_bits(layer(inputs[number]), expected[number], f"input {number}")

        in_threads(repeat, range(len(inputs)))


def test_a_layer_packs_once_for_several_threads(make_layer, same_bits):
    """In eval mode, the first call with a cache packs the weights for the backward pass."""
    x = random(2, 1, 60)
    expected = train(make_layer(60, 60, seed=0), x)
    for _ in range(20):
        layer = make_layer(60, 60, seed=0).eval()
        for result in in_threads(lambda _, layer=layer: train(layer, x), range(6)):
            same_bits(result, expected)


@pytest.mark.parametrize("hidden_size", [8, 400])
def test_a_stream_takes_steps_of_several_threads(make_layer, same_bits, hidden_size):
    """One after the other: the same input from all of them makes their order no matter."""
    layer = make_layer(4, hidden_size, 2, seed=0)
    x = random(3, 4)
    alone, shared = layer.stream(3), layer.stream(3)
    for _ in range(4 * 50):
        alone.step(x)
    in_threads(lambda _: [shared.step(x) for _ in range(50)], range(4))
    same_bits(shared.state, alone.state)


def test_the_lock_is_released(num_threads):
    """Another thread gets on with its work in the middle of a long call."""
    layer = pyrnn.LSTM(64, 128, seed=0)
    x = random(1500, 32, 64)
    begin, end, ticks = [], [], []

    def call():
        begin.append(time.perf_counter())
        layer(x)
        end.append(time.perf_counter())

    with num_threads(1):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(call,))
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(0.001)
        thread.join()
    length = end[0] - begin[0]
    within = [t for t in ticks if begin[0] + 0.2 * length < t < end[0] - 0.2 * length]
    assert len(within) >= 3


CHANGE_WHILE_COMPUTING = """
import sys
import threading
import numpy as np
import pyrnn

sys.setswitchinterval(1e-5)
layer = pyrnn.GRU(16, 130, seed=0)
x = np.random.default_rng(0).standard_normal((3, 24, 16)).astype(np.float32)
expected = layer(x)[0]
done = threading.Event()

def change():
    while not done.is_set():
        for count in (1, 4, 2, 3):
            pyrnn.set_num_threads(count)

changer = threading.Thread(target=change)
changer.start()
wrong = sum(not np.array_equal(layer(x)[0], expected) for _ in range(2000))
done.set()
changer.join()
print("wrong:", wrong)
"""


def test_number_of_threads_may_change_while_others_compute(run_python):
    result = run_python("-c", CHANGE_WHILE_COMPUTING, timeout=60)
    assert result.stdout.strip() == "wrong: 0", result.stderr


# --- processes ------------------------------------------------------------------------------


def processors_of_threads():
    """Where each thread of this process may run; some are there for a while only."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            found[int(task.name)] = os.sched_getaffinity(int(task.name))
    return found


def processors_at_rest():
    """The same once all may run where this one may: who was lent a core leaves it after its job."""
    own, end = os.sched_getaffinity(0), time.monotonic() + 5
    while any(other != own for other in processors_of_threads().values()):
        assert time.monotonic() < end, "a thread is kept off a processor"
        time.sleep(0.001)
    return processors_of_threads()


@linux
@pytest.mark.parametrize("count", [2, 3])
def test_busy_neighbours_change_no_result(num_threads, same_bits, count):
    """Threads wait for others without a core, do their parts and lend them cores meanwhile."""
    one, many = pyrnn.GRU(64, 256, seed=0), pyrnn.LSTM(64, 64, seed=0)
    jobs = [(one, random(100, 1, 64)), (many, random(40, 16, 64))]
    with num_threads(count):
        expected = [train(*job) for job in jobs]
        with busy.processes(len(os.sched_getaffinity(0))):
            end = time.monotonic() + 2
            while time.monotonic() < end:
                for job, results in zip(jobs, expected, strict=True):
                    same_bits(train(*job), results)
        # Who was lent a core leaves it after its job, for one where it may have to wait.
        processors_at_rest()


@linux
def test_workers_that_slept_may_run_where_they_might(num_threads):
    """They are kept off the caller's processor while they wake, and only then."""
    job = pyrnn.LSTM(8, 32, seed=0), random(200, 16, 8)
    with num_threads(2):
        train(*job)
        processors_at_rest()
        own = os.sched_getaffinity(0)
        for _ in range(20):
            time.sleep(0.005)
            train(*job)
            assert all(other == own for other in processors_of_threads().values())


def forked(function):
    """What a function gives in a forked child."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(function()))
    child.start()
    try:
        assert receiver.poll(30), "the child hangs"
        return receiver.recv()
    finally:
        child.join(10)
        if child.is_alive():
            child.kill()
            child.join()


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)
# Newer Pythons warn of what is tested here, and so does JAX, where another test has loaded it.
allows_fork = pytest.mark.filterwarnings("ignore:.*fork")


@needs_fork
@allows_fork
def test_a_forked_child_computes(make_layer, num_threads, same_bits):
    """With workers of its own, as the parent's do not exist there; so does its own child."""
    layer = make_layer(20, 200, seed=0)
    x = random(30, 9, 20)
    with num_threads(2):
        expected = train(layer, x)
        same_bits(forked(lambda: train(layer, x)), expected, "child")
        same_bits(forked(lambda: forked(lambda: train(layer, x))), expected, "grandchild")
        same_bits(train(layer, x), expected, "parent")


@needs_fork
@allows_fork
@pytest.mark.parametrize("count", [20, pytest.param(2000, marks=pytest.mark.long)])
def test_a_child_forked_while_others_compute(num_threads, same_bits, count):
    """Workers and locks are taken at that moment, and must not be so for ever in the child."""
    layer = pyrnn.LSTM(20, 200, seed=0)
    small = pyrnn.RNN(64, 64, seed=0)
    x, small_x = random(30, 9, 20), random(5, 32, 64)
    done = threading.Event()

    def compute(*job):
        while not done.is_set():
            train(*job)

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(compute, *job))
        for job in [(layer, x), (small, small_x), (small, small_x)]
    ]
    with num_threads(2):
        expected = train(small, small_x)
        for thread in threads:
            thread.start()
        try:
            for _ in range(count):
                same_bits(forked(lambda: train(small, small_x)), expected)
        finally:
            done.set()
            for thread in threads:
                thread.join()
