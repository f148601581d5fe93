"""``pyrnn train`` under mpiexec: only rank 0 prints, and if a rank fails, all ranks end."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator

from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import Ended
from pyrnn.cli._training.texts import STANDARD_INPUT
from pyrnn.distributed import launch
from pyrnn.distributed.ranks import OtherRankError, Ranks, ranks_of
from pyrnn.text.corpus import EncodedCorpus
from pyrnn.text.vocabularies import kinds
from pyrnn.training.divergence import DivergenceError


def started() -> Ranks | None:
    """The ranks of this run, of which only the first prints from now on; None for one process."""
    ranks = ranks_of(launch.world())
    if ranks is not None and not ranks.is_first:
        # Until the end of the process, because `main` reports an error last.
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return ranks


@contextlib.contextmanager
def agreed(ranks: Ranks | None) -> Iterator[None]:
    """Inside a ``with`` block ranks prepare independently; an error of one is raised on all."""
    if ranks is None:
        yield
        return
    failed: Exception | None = None
    with ranks.together((Exception,)):
        try:
            yield
        except Exception as error:
            failed = error
        try:
            ranks.check_errors(failed)
        except OtherRankError as error:
            raise UsageError(str(error)) from error


@contextlib.contextmanager
def together(ranks: Ranks | None) -> Iterator[None]:
    """Inside a ``with`` block an error of one rank ends all ranks."""
    if ranks is None:
        yield
        return
    with ranks.together((DivergenceError, Ended)):
        yield


def share_threads(arguments: argparse.Namespace, ranks: Ranks | None) -> int | None:
    """The number of threads of this rank, where ``--threads`` does not say it."""
    if ranks is None or arguments.threads is not None:
        given: int | None = arguments.threads
        return given
    return launch.threads_of_rank(ranks.communicator)


def check_batch(arguments: argparse.Namespace, ranks: Ranks | None) -> None:
    """Refuse a batch with less than one stream per rank."""
    if ranks is not None and arguments.batch < ranks.count:
        raise UsageError(
            f"--batch: expected at least a stream for each of {ranks.count} ranks, got "
            f"{arguments.batch}"
        )


def check_files(arguments: argparse.Namespace, ranks: Ranks | None) -> None:
    """Refuse the standard input, which only one rank can read."""
    if ranks is not None and STANDARD_INPUT in arguments.files:
        raise UsageError("standard input: expected files to read with several ranks")


def signal_of(ranks: Ranks | None, requested: int) -> int:
    """The signal that any rank received; 0 if none did."""
    return requested if ranks is None else int(ranks.told(requested).max())


def check_same_text(ranks: Ranks | None, corpus: EncodedCorpus) -> None:
    """Refuse texts that are not the same on the machines of all ranks."""
    if ranks is None:
        return
    vocabulary, train, held_out = corpus
    try:
        ranks.check_same({"text": (len(train), len(held_out), kinds.fingerprint(vocabulary))})
    except ValueError as error:
        raise UsageError(str(error)) from error
