"""What goes wrong in the pool of threads: failures in parts, threads that cannot be started, more
processors than any mask of fixed size holds; and that nobody is woken for nothing."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from tests.core.threads.machines import FILES, MOVES, PROCESSORS

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

START = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import resource, threading, time
import numpy as np
import pyrnn

def virtual_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()

def limit(more):
    resource.setrlimit(resource.RLIMIT_AS, (virtual_bytes() + more, resource.RLIM_INFINITY))

def unlimit():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def threads():
    return len(os.listdir("/proc/self/task"))

def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
"""

# --- failures in parts ----------------------------------------------------------------------

FAILING_PARTS = """
pyrnn.set_num_threads({threads})
layer = pyrnn.Linear(400_000, 32, seed=0)
x, dy = random(4, 400_000), random(4, 32)
small = pyrnn.GRU(8, 200, seed=0)
short = random(30, 4, 8)
before = small(short)[0]
failed = 0
for megabytes in range(0, 300, 20):
    y, *_, cache = layer.forward(x)
    limit(megabytes << 20)
    try:
        layer.backward(cache, dy)
    except MemoryError:
        failed += 1
    unlimit()
    assert np.array_equal(small(short)[0], before)
print(failed)
"""


@linux
@pytest.mark.parametrize("count", [1, 2, 5])
def test_out_of_memory_in_a_part_is_an_error(run_python, count):
    """Wherever memory ends, in a part or outside; the pool computes afterwards as before."""
    result = run_python("-c", START + FAILING_PARTS.format(threads=count))
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0


# --- threads that cannot be started ---------------------------------------------------------

REFUSED = """
layer = pyrnn.LSTM(16, 64, seed=0)
x = random(40, 32, 16)
pyrnn.set_num_threads(1)
expected = layer(x)[0]
assert threads() == 1
pyrnn.set_num_threads(4)
layer(x[:2, :1])  # nothing is left to be allocated
limit(1 << 20)  # less than a thread's stack
for _ in range(3):
    assert np.array_equal(layer(x)[0], expected)
assert threads() == 1, threads()
unlimit()
end = time.monotonic() + 30
while threads() == 1 and time.monotonic() < end:
    assert np.array_equal(layer(x)[0], expected)
print(threads() > 1)
"""


@linux
def test_threads_that_cannot_be_started_are_done_without(run_python):
    """And tried again later."""
    result = run_python("-c", START + REFUSED)
    assert result.stdout.strip() == "True", result.stderr


# --- many processors ------------------------------------------------------------------------

MANY_COMPUTE = """
layer = pyrnn.LSTM(64, 512, seed=0)
x = random(3, 600, 64)
many = layer(x)[0]
print(pyrnn.get_num_threads())
pyrnn.set_num_threads(1)
print(np.array_equal(layer(x)[0], many))
"""


@linux
@pytest.mark.parametrize("count", [384, 2048])
def test_more_processors_than_threads_can_be(run_python, compiled, count):
    library = compiled(PROCESSORS, COUNT=count)
    result = run_python("-c", START + MANY_COMPUTE, LD_PRELOAD=library)
    assert result.returncode == 0, result.stderr
    threads, equal = result.stdout.split()
    # A control group may allow less time.
    assert 1 <= int(threads) <= min(count, 1024)
    assert equal == "True"


# --- who is moved to another processor ------------------------------------------------------

WAKE_OFTEN = """
pyrnn.set_num_threads(2)
layer = pyrnn.LSTM(64, 128, seed=0)
for _ in range(20):
    layer(random(20, 64, 64))
    time.sleep(0.005)
"""


@linux
@pytest.mark.parametrize(("count", "moves"), [(2, True), (3, False), (64, False)])
def test_workers_are_moved_on_two_processors_alone(run_python, compiled, count, moves):
    """It was measured there; with more, the system finds a free one itself."""
    library = compiled(MOVES, COUNT=count)
    result = run_python("-c", START + WAKE_OFTEN, LD_PRELOAD=library)
    assert result.returncode == 0, result.stderr
    assert ("moved" in result.stderr) == moves


# --- limits of control groups ----------------------------------------------------------------


@linux
@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"proc/self/cgroup": "0::/\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        (  # of its own group
            {
                "proc/self/cgroup": "0::/a.slice/b\n",
                "sys/fs/cgroup/a.slice/b/cpu.max": "200000 100000",
            },
            2,
        ),
        (  # of the group around it, which is narrower
            {
                "proc/self/cgroup": "0::/a.slice/b/c\n",
                "sys/fs/cgroup/a.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/a.slice/b/cpu.max": "max 100000",
                "sys/fs/cgroup/a.slice/b/c/cpu.max": "500000 100000",
            },
            3,
        ),
        (  # a path of the host, in a container
            {"proc/self/cgroup": "0::/../host/path\n", "sys/fs/cgroup/cpu.max": "400000 100000"},
            4,
        ),
        (  # version 1
            {
                "proc/self/cgroup": "5:cpuset:/a\n3:cpu,cpuacct:/a/b\n0::/a/b\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (  # version 1, without a link named cpu
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (  # no paths, as no Linux writes them
            {
                "proc/self/cgroup": "0::abc\n3:cpu:\n0::\n:\n\n0::/a//b/\n",
                "sys/fs/cgroup/cpu.max": "300000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "200000 100000",
            },
            2,
        ),
        ({}, 8),  # no control groups
    ],
    ids=[
        "none",
        "max",
        "mounted",
        "own",
        "around",
        "container",
        "version 1",
        "no link",
        "no paths",
        "not there",
    ],
)
def test_limits_of_control_groups(run_python, compiled, tmp_path, files, threads):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    library = compiled(FILES, FOLDER=f'"{tmp_path}"', COUNT=8)
    result = run_python("-c", "import pyrnn; print(pyrnn.get_num_threads())", LD_PRELOAD=library)
    assert result.stdout.strip() == str(threads), result.stderr


# --- who is woken ---------------------------------------------------------------------------


def switches():
    """How often each other thread of this process has gone to sleep."""
    own = str(os.getpid())
    counts = {}
    for task in Path("/proc/self/task").iterdir():
        if task.name != own:
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            counts[task.name] = int(status["voluntary_ctxt_switches"])
    return counts


@linux
@pytest.mark.parametrize("count", [2, 8, 32, 64])
def test_a_job_wakes_the_workers_that_it_has_parts_for(num_threads, count):
    """Two directions are two parts, whatever the number of threads."""
    wide = pyrnn.Linear(2048, 2048, seed=0)
    both = pyrnn.LSTM(8, 40, bidirectional=True, seed=0)
    x = np.zeros((200, 1, 8), "float32")
    with num_threads(1):
        both(x)
        wide(x[:, 0, :1] * np.zeros((1, 2048), "float32"))  # workers of other tests have ended
    others = set(switches())
    with num_threads(count):
        wide(np.zeros((256, 2048), "float32"))
        time.sleep(0.05)
        before = switches()
        for _ in range(20):
            both(x)
            time.sleep(0.002)
        after = switches()
        woken = {task for task in before if after[task] > before[task] + 5} - others
    assert len(woken) <= 1


@linux
def test_workers_are_started_for_parts_alone(run_python):
    code = """
pyrnn.set_num_threads(64)
pyrnn.LSTM(8, 40, bidirectional=True, seed=0)(random(200, 1, 8))
print(threads())
"""
    assert int(run_python("-c", START + code).stdout) <= 2


PINNED = """
layer = pyrnn.LSTM(16, 64, seed=0)
x = random(40, 32, 16)
allowed = os.sched_getaffinity(0)
def compute():
    os.sched_setaffinity(0, {min(allowed)})
    pyrnn.set_num_threads(2)
    layer(x)
if IN_THREAD:
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
else:
    compute()
    os.sched_setaffinity(0, allowed)
time.sleep(0.05)
masks = {int(task): os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}
print(len(masks), all(mask == allowed for mask in masks.values()))
"""


@linux
@pytest.mark.parametrize("in_thread", [True, False])
def test_workers_are_not_pinned_with_their_caller(run_python, in_thread):
    result = run_python("-c", START + PINNED.replace("IN_THREAD", str(in_thread)))
    assert result.stdout.split() == ["2", "True"], result.stderr


@linux
def test_workers_stay_where_the_program_may_run(run_python):
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    result = run_python("-c", code + START + PINNED.replace("IN_THREAD", "False"))
    assert result.stdout.split() == ["2", "True"], result.stderr
