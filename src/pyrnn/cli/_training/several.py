"""``pyrnn train`` under mpiexec: only rank 0 prints, and if a rank fails, all ranks end."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pyrnn.backend import threads
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._training.resuming import NOT_SAVED
from pyrnn.cli._training.run import Training
from pyrnn.cli._training.texts import STANDARD_INPUT
from pyrnn.distributed import launch
from pyrnn.distributed.ranks import OtherRankError, Ranks, on_all_ranks, ranks_of
from pyrnn.text.preparation import Source
from pyrnn.text.vocabularies import kinds

Made = TypeVar("Made")

OWN = ("files", "val", "out", "log", "threads", *NOT_SAVED)
"""Arguments in which ranks may differ: names of files, and what does not change the training."""


def started() -> Ranks | None:
    """The ranks of this run, of which only the first prints from now on; None for one process."""
    ranks = ranks_of(launch.world())
    if ranks is not None and not ranks.is_first:
        # Until the end of the process, because `main` reports an error last.
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return ranks


@contextlib.contextmanager
def agreed(ranks: Ranks | None) -> Iterator[None]:
    """Inside a ``with`` block ranks work independently; an error of one is raised on all."""
    if ranks is None:
        yield
        return
    try:
        with ranks.agreed():
            yield
    except OtherRankError as error:
        with on_all_ranks:
            raise UsageError(str(error)) from error


def together(ranks: Ranks | None) -> contextlib.AbstractContextManager[None]:
    """A context in which an error of one rank ends all ranks."""
    return contextlib.nullcontext() if ranks is None else ranks.together()


def machine(ranks: Ranks | None) -> launch.Machine | None:
    """What this rank has of its machine."""
    if ranks is None:
        return None
    with agreed(ranks):
        count, mask = threads.get_num_threads(), launch.processors()
    return launch.machine(ranks.communicator, count, mask)


def in_turn(ranks: Ranks | None, own: launch.Machine | None, work: Callable[[], Made]) -> Made:
    """What ``work`` gives on each rank: first on one of each machine, then on the others.

    They find the files that it has made. An error of one rank is raised on all.
    """
    if own is None:
        return work()
    made: list[Made] = []
    for first in (True, False):
        with agreed(ranks):
            if own.is_first is first:
                made.append(work())
    return made[0]


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


def check_same(
    ranks: Ranks | None, arguments: argparse.Namespace, texts: Sequence[Source], training: Training
) -> None:
    """Refuse ranks that would train different models, or on different texts."""
    if ranks is None:
        return
    given = {"--" + n.replace("_", "-"): v for n, v in vars(arguments).items() if n not in OWN}
    if given["--tokens"] not in kinds.KINDS:  # its file is among the texts
        given["--tokens"] = "a tokeniser"
    found = {
        **given,
        "text": [(text.size, text.sha256) for text in texts],
        "model": training.fingerprint(),  # of different checkpoints, with the same arguments
    }
    try:
        ranks.check_same(found)
    except ValueError as error:
        with on_all_ranks:
            raise UsageError(str(error)) from error
