"""Which rows of a batch, or streams of a text, belong to a rank."""

from __future__ import annotations


def neighbours(count: int, rank: int, ranks: int) -> slice:
    """Contiguous rows: cut as the core cuts a batch into bands."""
    return slice(count * rank // ranks, count * (rank + 1) // ranks)


def every(rank: int, ranks: int) -> slice:
    """Every n-th row: if rows are sorted by length, each rank gets long and short ones."""
    return slice(rank, None, ranks)
