"""How long a case may take: of the processor's time, or of any while nothing is computed."""

import os
import time

import pytest

from tests.fuzz import workers


@pytest.fixture
def clock(monkeypatch):
    """A clock with a timeout of 10 s, and what it reads."""
    read = {"time": 0.0, "used": 0.0}
    monkeypatch.setattr(workers.time, "monotonic", lambda: read["time"])
    monkeypatch.setattr(workers, "processor_time", lambda pid: read["used"])

    def has_time(number, *, seconds, used):
        read["time"] += seconds
        read["used"] += used
        return clock.has_time(number)

    clock = workers.Clock(1, 10.0)
    return has_time


def test_others_may_have_the_machine(clock):
    assert all(clock(1, seconds=9, used=0.5) for _ in range(20))
    assert not clock(1, seconds=9, used=0.5)


def test_what_computes_nothing_ends(clock):
    assert clock(1, seconds=1, used=0)
    assert clock(1, seconds=9, used=0)
    assert not clock(1, seconds=2, used=0)


def test_what_looks_now_and_then_ends(clock):
    assert all(clock(1, seconds=5, used=0.01) for _ in range(40))
    assert not clock(1, seconds=5, used=0.01)


def test_each_case_has_its_own_time(clock):
    for number in range(9):
        assert clock(number, seconds=8, used=4)
        assert clock(number, seconds=8, used=4)
    assert not clock(8, seconds=8, used=6)


def test_the_time_of_the_processor_is_read():
    begin = workers.processor_time(os.getpid())
    if begin == 0:
        pytest.skip("there is no /proc")
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert workers.processor_time(os.getpid()) - begin == pytest.approx(0.1, abs=0.05)
