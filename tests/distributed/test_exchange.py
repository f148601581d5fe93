"""Sums of gradients: in the order of the ranks, whatever the buckets; the same bits everywhere."""

import functools

import numpy as np
import pytest

from pyrnn.distributed import exchange
from pyrnn.distributed.exchange import GradientSum
from pyrnn.parameters.owners import Gradients
from tests.distributed.threads import on_ranks

SHAPES = {"w": (13, 7), "b": (13,), "alone": (1,), "none": (0, 3)}


def grads_of(rank, dtype, order=None):
    generator = np.random.default_rng(rank)
    grads = {
        name: (generator.standard_normal(shape) * 10.0 ** generator.integers(-8, 8, shape)).astype(
            dtype
        )
        for name, shape in SHAPES.items()
    }
    return {name: grads[name] for name in order or grads}


def added(comm, grads):
    return GradientSum(comm, grads)(grads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize("bucket", [8, 64, 1 << 20])
def test_each_element_is_added_up_from_rank_0_on(ranks, dtype, bucket, monkeypatch):
    monkeypatch.setattr(exchange, "BUCKET_BYTES", bucket)
    got = on_ranks(ranks, lambda comm: added(comm, grads_of(comm.Get_rank(), dtype)))
    for name in SHAPES:
        parts = [grads_of(rank, dtype)[name] for rank in range(ranks)]
        expected = functools.reduce(np.add, parts)
        for own in got:
            np.testing.assert_array_equal(own[name], expected)
            assert own[name].dtype == dtype


def test_names_in_another_order_and_two_dtypes():
    def work(comm):
        rank = comm.Get_rank()
        order = sorted(SHAPES, reverse=bool(rank))
        own = grads_of(rank, "float32", order) | {"double": np.full(3, 0.1 + rank)}
        ordered = {name: own[name] for name in sorted(own)}
        summed = GradientSum(comm, ordered)(own)
        assert list(summed) == list(own)
        return {name: array.copy() for name, array in summed.items()}

    first, second = on_ranks(2, work)
    for name in SHAPES:
        expected = grads_of(0, "float32")[name] + grads_of(1, "float32")[name]
        np.testing.assert_array_equal(first[name], expected)
        np.testing.assert_array_equal(second[name], expected)
    np.testing.assert_array_equal(first["double"], np.full(3, 0.1) + np.full(3, 1.1))


def test_the_buffer_is_kept_and_the_owners_too():
    def work(comm):
        add = GradientSum(comm, {"w": np.zeros(4), "frozen": np.zeros(2)})
        one = add(Gradients({"w": np.ones(4)}, frozenset([7])))
        two = add(Gradients({"w": np.full(4, 2.0)}, frozenset([7])))
        return one["w"] is two["w"], two.families, {n: g.tolist() for n, g in two.items()}

    for got in on_ranks(2, work):
        assert got == (True, frozenset([7]), {"w": [4.0] * 4})


def test_infinities_give_no_warning():
    got = on_ranks(2, lambda comm: added(comm, {"w": np.array([(-1) ** comm.Get_rank() * np.inf])}))
    assert np.isnan(got[0]["w"]).all()


def grads_in_parts(rank, count=4):
    generator = np.random.default_rng(rank)
    return {f"l{n}.w": generator.standard_normal(10).astype("f") for n in range(count)}


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("order", [[3, 2, 1, 0], [0, 1, 2, 3], [3, 1, 2, 0], [2], []])
def test_a_bucket_begins_when_all_before_it_are_finished(ranks, order, monkeypatch):
    """Whatever is finished first, on whichever rank, all begin the same bucket next."""
    monkeypatch.setattr(exchange, "BUCKET_BYTES", 48)

    def work(comm):
        rank = comm.Get_rank()
        own = grads_in_parts(rank)
        add = GradientSum(comm, own)
        begun = []
        for _ in range(2):
            for number in order if rank else order[:1]:
                add.take({f"l{number}.w": own[f"l{number}.w"]})
                begun.append(comm.calls.count("Ialltoall"))
            summed = add(own)
        return {n: g.copy() for n, g in summed.items()}, begun, comm.calls.count("Ialltoall")

    got = on_ranks(ranks, work)
    parts = [grads_in_parts(rank) for rank in range(ranks)]
    for summed, _, begun in got:
        assert begun == 2 * 4
        for name in parts[0]:
            expected = functools.reduce(np.add, [part[name] for part in parts])
            np.testing.assert_array_equal(summed[name], expected)
    if order == [3, 2, 1, 0]:
        # The last layer's first: 10 of 40 numbers are no bucket of 12, 20 are one, ...
        assert got[1][1][:4] == [0, 1, 2, 4]
    elif order == [0, 1, 2, 3]:
        assert got[1][1][:4] == [0, 0, 0, 4]


def test_one_bucket_takes_nothing_early():
    on_ranks(2, lambda comm: _assert_none(GradientSum(comm, grads_in_parts(0)).take))


def _assert_none(value):
    assert value is None


@pytest.mark.parametrize(
    "wrong", [{"w": np.ones(3)}, {"w": np.ones(4, "f")}, {"w": np.ones(4), "other": np.ones(1)}]
)
def test_gradients_of_something_else(wrong):
    def work(comm):
        with pytest.raises(ValueError, match=r"^grads\['(w|other)'\]: expected the gradient"):
            GradientSum(comm, {"w": np.zeros(4)})(wrong)

    on_ranks(2, work)


def test_the_communicators_are_given_back():
    def work(comm):
        add = GradientSum(comm, {"w": np.zeros(4)})
        assert [copy.freed for copy in comm.copies] == [False, False]
        add.free()
        return [copy.freed for copy in comm.copies]

    assert on_ranks(2, work) == [[True, True]] * 2
