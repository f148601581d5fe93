"""Rows of ranks: each row is one rank's, and the shares differ by one row at most."""

import numpy as np
import pytest

from pyrnn.distributed import shares


@pytest.mark.parametrize("kind", [shares.neighbours, lambda count, *rank: shares.every(*rank)])
@pytest.mark.parametrize(("count", "ranks"), [(8, 2), (7, 3), (3, 4), (0, 2), (64, 8)])
def test_each_row_is_one_ranks(kind, count, ranks):
    rows = [np.arange(count)[kind(count, rank, ranks)] for rank in range(ranks)]
    assert sorted(np.concatenate(rows).tolist()) == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
