"""What ranks tell each other, and how one that fails ends all."""

import types

import numpy as np
import pytest

from pyrnn.distributed.ranks import OtherRankError, join, on_all_ranks, ranks_of, weighted
from tests.distributed.threads import AbortedError, on_ranks


def test_numbers_flags_means():
    def work(comm):
        ranks = ranks_of(comm)
        rank = ranks.rank
        return (
            ranks.told(rank, 10.0).tolist(), ranks.any(rank == 2), ranks.any(False),
            ranks.from_rank(2, rank), ranks.from_first(rank), ranks.gathered(rank),
        )  # fmt: skip

    expected = (
        [[0, 10], [1, 10], [2, 10]], True, False, 2, 0, [0, 1, 2]
    )  # fmt: skip
    assert on_ranks(3, work) == [expected] * 3


def test_a_rank_without_weight_may_have_any_value():
    assert weighted(np.array([[np.nan, 0], [3, 2]])) == (3.0, 2.0)
    assert np.isnan(weighted(np.array([[np.nan, 1], [3, 2]]))[0])


def test_one_rank_is_none_and_others_are_refused():
    assert ranks_of(None) is None
    assert on_ranks(1, lambda comm: ranks_of(comm)) == [None]
    with pytest.raises(TypeError, match=r"^communicator: expected one of mpi4py, .* got 'world'$"):
        ranks_of("world")
    with pytest.raises(TypeError, match=r"^communicator: expected"):
        ranks_of(types.SimpleNamespace(Get_rank=len))


def test_differences_are_named_on_all():
    def work(comm):
        with pytest.raises(ValueError, match=r"^lr: .* got 0 on rank 0 and 1 on rank 1$"):
            ranks_of(comm).check_same({"same": 1, "lr": comm.Get_rank()})
        ranks_of(comm).check_same({"same": [1, "a"]})

    on_ranks(2, work)


def test_an_error_of_one_is_an_error_of_all():
    def work(comm):
        ranks = ranks_of(comm)
        ranks.check_errors(None)
        expected = ValueError if comm.Get_rank() == 1 else OtherRankError
        with pytest.raises(expected, match="no such file"):
            ranks.check_errors(ValueError("no such file") if comm.Get_rank() == 1 else None)

    on_ranks(3, work)


def test_a_failure_ends_all_with_one_line(capfd):
    communicators = []

    def work(comm):
        communicators.append(comm)
        ranks = ranks_of(comm)
        with ranks.together():
            if ranks.rank == 1:
                raise MemoryError("1 GB\nwanted")
            ranks.told(1.0)  # waits for the other

    with pytest.raises((MemoryError, AbortedError)):
        on_ranks(2, work)
    err = capfd.readouterr().err.splitlines()
    assert "pyrnn: rank 1 of 2 failed, so all ranks end: MemoryError: 1 GB wanted" in err
    assert any(comm.aborted for comm in communicators)


def test_a_signal_in_the_last_moment_still_ends_all(monkeypatch):
    """A second Ctrl-C, while the launcher passes on why: the other ranks may wait for this one."""

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("pyrnn.distributed.ranks.time.sleep", interrupted)
    communicators = []

    def work(comm):
        communicators.append(comm)
        ranks = ranks_of(comm)
        if ranks.rank == 1:
            ranks.abort(MemoryError("1 GB wanted"))
        else:
            ranks.told(1.0)  # waits for the other

    with pytest.raises((KeyboardInterrupt, AbortedError)):
        on_ranks(2, work)
    assert any(comm.aborted for comm in communicators)


def test_a_failed_exchange_says_what_may_have_happened(capfd):
    """As mpi4py raises it where another rank was killed, before the launcher ends this one."""
    error = type("Exception", (RuntimeError,), {"__module__": "mpi4py.MPI"})

    def work(comm):
        with ranks_of(comm).together():
            raise error("no such process")

    with pytest.raises((error, AbortedError)):
        on_ranks(2, work)
    said = "so all ranks end: an exchange with another rank, which may have died (no such process)"
    assert said in capfd.readouterr().err


def test_an_agreed_error_ends_none():
    def work(comm):
        with pytest.raises(KeyError), ranks_of(comm).together(), on_all_ranks:
            raise KeyError("k")
        return comm.aborted

    assert on_ranks(2, work) == [False, False]


def test_parts_are_joined_at_their_places():
    whole = np.arange(30).reshape(2, 5, 3)
    for places in ([slice(0, 2), slice(2, 5)], [slice(0, None, 2), slice(1, None, 2)]):
        parts = [np.ascontiguousarray(whole[:, place]) for place in places]
        np.testing.assert_array_equal(join(parts, places, 1), whole)
