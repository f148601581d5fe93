"""Locks of Python code: a forked child finds them free, and a signal handler may take them."""

import os
import re
import signal
import threading
from pathlib import Path

import pytest

import pyrnn
from pyrnn._locks import fork_safe_lock

SOURCES = Path(pyrnn.__file__).resolve().parent  # a build that is watched has links
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def status_of_child(work):
    """Fork, and return the status of a child that does this work, within ten seconds."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def held():
    """A lock that another thread holds for a while, over and over again."""
    lock, done, begun = fork_safe_lock(), threading.Event(), threading.Event()

    def hold():
        while not done.is_set():
            with lock:
                begun.set()
                done.wait(0.02)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    yield lock
    done.set()
    thread.join()


def take(lock):
    with lock:
        pass


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_finds_it_free(held):
    assert [status_of_child(lambda: take(held)) for _ in range(3)] == [0, 0, 0]
    with held:
        assert status_of_child(lambda: take(held)) == 0


def test_a_thread_may_take_it_again():
    lock = fork_safe_lock()
    with lock:
        assert lock.acquire(timeout=1)
        lock.release()


def test_no_module_makes_another_lock():
    made = re.compile(r"\bthreading\.(R?Lock|Condition|(Bounded)?Semaphore)\(")
    found = {p.name for p in SOURCES.rglob("*.py") if made.search(p.read_text(encoding="utf-8"))}
    assert found == {"_locks.py", "lazy.py"}  # the latter does the same by hand
