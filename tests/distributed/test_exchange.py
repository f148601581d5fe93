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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize("bucket", [8, 64, 1 << 20])
def test_each_element_is_added_up_from_rank_0_on(ranks, dtype, bucket, monkeypatch):
    monkeypatch.setattr(exchange, "BUCKET_BYTES", bucket)
    got = on_ranks(ranks, lambda comm: GradientSum(comm)(grads_of(comm.Get_rank(), dtype)))
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
        summed = GradientSum(comm)(own)
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
        add = GradientSum(comm)
        one = add(Gradients({"w": np.ones(4)}, frozenset([7])))
        two = add(Gradients({"w": np.full(4, 2.0)}, frozenset([7])))
        other = add({"w": np.ones(5)})
        return one["w"] is two["w"], two.families, two["w"].tolist(), other["w"].tolist()

    for got in on_ranks(2, work):
        assert got == (True, frozenset([7]), [4.0] * 4, [2.0] * 5)


def test_infinities_give_no_warning():
    got = on_ranks(
        2, lambda comm: GradientSum(comm)({"w": np.array([(-1) ** comm.Get_rank() * np.inf])})
    )
    assert np.isnan(got[0]["w"]).all()
