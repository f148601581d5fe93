"""What ranks tell each other during one batch, with and without rows of it."""

import functools

import numpy as np
import pytest

from pyrnn.distributed.batch import BatchExchange
from pyrnn.distributed.ranks import ranks_of
from tests.distributed.threads import on_ranks


@pytest.mark.parametrize("without", [{0}, {1}, {0, 2}, set()])
def test_a_rank_without_rows_takes_part_with_zeros(without):
    def work(comm):
        rank = comm.Get_rank()
        others = BatchExchange(ranks_of(comm))
        if rank in without:
            told = others.end_forward(has_rows=False)
            others.backward_without_rows()
            return told, None
        own = rank + 1.0
        seen = [others(np.array([own, 2 * own])), others(np.array([own]))]
        told = others.end_forward(own, 2.0, 1.0, 3.0, has_rows=True)
        seen += [others(np.array([-own])), others(np.array([own, own]))]
        return told, seen

    weights = np.array([0.0 if rank in without else rank + 1.0 for rank in range(3)])
    for rank, (told, seen) in enumerate(on_ranks(3, work)):
        assert told.rows == [other not in without for other in range(3)]
        assert told.numbers == [
            [w, 2.0 * (w > 0), float(w > 0), 3.0 * (w > 0)] for w in weights.tolist()
        ]
        assert (seen is None) == (rank in without)
        if seen is not None:
            expected = [weights[:, None] * factor for factor in ([1, 2], [1], [-1], [1, 1])]
            for mine, theirs in zip(seen, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_layers_that_differ_are_an_error():
    def work(comm):
        others = BatchExchange(ranks_of(comm))
        end = functools.partial(others.end_forward, 0.0, 1.0, 1.0, has_rows=True)
        with pytest.raises(RuntimeError, match="same layers"):
            others(np.zeros(3)) if comm.Get_rank() else end()

    on_ranks(2, work)
