"""``mpiexec pyrnn train`` when something is wrong on one rank only: all end, with one line."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.distributed import mpiexec

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")

MODEL = ("--hidden", 12, "--batch", 6, "--seq-len", 8)
MOST_SECONDS = 30
"""In which all ranks have to end; most tests take less than a second."""

PROGRAM = """
import os, runpy, signal, sys
rank = int(os.environ["PMI_RANK"])
{wrong}
runpy.run_module("pyrnn", run_name="__main__")
"""

PATCH = """
from pyrnn.{module} import {name}
if rank == {rank}:
    def fail(*arguments, **options):
        {does}
    {name}.{function} = fail
"""


def patched(rank: int, module: str, name: str, function: str, does: str) -> str:
    """What lets a function fail on one rank."""
    return PATCH.format(rank=rank, module=module, name=name, function=function, does=does)


def argument(rank: int, *arguments: str) -> str:
    """What gives one rank other arguments than the others."""
    return f"if rank == {rank}: sys.argv += {list(arguments)}"


TERMINATE = "os.kill(os.getpid(), signal.SIGTERM)"
AGREED = "pyrnn: error: "
ENDED = r"pyrnn: rank \d of 2 failed, so all ranks end: "

WRONG = {
    "the text": ("os.chdir('/' if rank == 1 else '.')", AGREED + r"rank 1: text\.py: .*No such"),
    "an extra": (
        "if rank == 1: sys.modules['rich'] = None",
        r"pyrnn: error: rich is not installed",
    ),
    "a size": (
        argument(1, "--hidden", "14"),
        AGREED + "--hidden: expected the same on all ranks, got 12 on rank 0 and 14 on rank 1",
    ),
    "a signal at the end": (
        patched(1, "cli._training.run", "Training", "finish", TERMINATE),
        ENDED + "terminated",
    ),
    "a model worse than a guess": (
        patched(0, "cli._training.run", "Training", "check", "raise DivergenceError('lr', 1, 'x')")
        + "from pyrnn.training.divergence import DivergenceError",
        AGREED + "lr: .*1.* x",
    ),
    "a full disk": (
        patched(0, "training.run", "checkpoint", "write", "raise OSError(28, 'No space left')"),
        ENDED + r"--checkpoint-every: cannot write .*\(No space left\)",
    ),
}

MORE_WRONG = {
    "an option": (argument(1, "--hiden", "3"), AGREED + "unrecognized arguments: --hiden"),
    "no MPI": ("if rank == 1: sys.modules['mpi4py'] = None", AGREED + "mpi4py is not installed"),
    "a number of threads": (
        "if rank == 1: os.environ['PYRNN_NUM_THREADS'] = 'two'",
        AGREED + ".*PYRNN_NUM_THREADS",
    ),
    "an instruction set": (
        "if rank == 1: os.environ['PYRNN_ISA'] = 'none'", AGREED + ".*PYRNN_ISA",
    ),
    "the folder of the model": (
        argument(0, "--out", "nowhere/m.safetensors"), AGREED + "--out: .*nowhere",
    ),
    "the log": (argument(0, "--log", "nowhere/log"), AGREED + "--log: .*nowhere"),
    "the validation text": (argument(1, "--val", "none.txt"), AGREED + r"rank 1: none\.txt: "),
    "another text": (
        "open(f'text{rank}', 'w').write(('ab', 'ba')[rank] * 5000); sys.argv[2] = f'text{rank}'",
        AGREED + "text: expected the same on all ranks, got ",
    ),
    "when to save": (
        argument(1, "--checkpoint-every", "5"),
        AGREED + "--checkpoint-every: expected the same on all ranks, got 2 on rank 0 and 5 on",
    ),
    "a checkpoint that is missing": (
        "sys.argv[2:] = ['--resume', f'{rank}.checkpoint.safetensors']",
        AGREED + r"--resume: 0\.checkpoint\.safetensors: cannot be read",
    ),
    "memory": (
        patched(1, "text", "preparation", "in_memory", "raise MemoryError('1 TB')"),
        AGREED + "rank 1: MemoryError: 1 TB",
    ),
    "a signal while the text is read": (
        patched(1, "text", "preparation", "in_memory", TERMINATE), ENDED + "terminated",
    ),
    "a signal before the first step": (
        patched(1, "cli", "train", "_introduction", TERMINATE), ENDED + "terminated",
    ),
    "an interrupt at the end": (
        patched(0, "cli", "train", "_print_sample", "raise KeyboardInterrupt"),
        ENDED + "KeyboardInterrupt",
    ),
    "a step": (
        patched(1, "cli._training.run", "Training", "_stretch", "raise MemoryError"),
        ENDED + "MemoryError",
    ),
    "the other way round": (
        patched(0, "cli._training.run", "Training", "_stretch", "raise MemoryError"),
        ENDED + "MemoryError",
    ),
    "an evaluation": (
        patched(1, "cli._training", "run", "nats_of", "raise OSError(5, 'Input/output error')"),
        ENDED + "OSError: .*Input/output error",
    ),
    "what is shown": (
        patched(0, "cli._training", "progress", "describe", "raise BrokenPipeError"),
        ENDED + "BrokenPipeError",
    ),
    "the model's file": (
        patched(0, "interop", "serialization", "save", "raise OSError(28, 'No space left')"),
        AGREED + r"--out: cannot write .*\(No space left\)",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would take most of a short run."""
    monkeypatch.setenv("MPLBACKEND", "none of matplotlib's")


def check(wrong: str, message: str, *arguments: object) -> None:
    """All ranks end soon, and one of them says why."""
    process = mpiexec.start(2, *arguments, program=("-c", PROGRAM.format(wrong=wrong)))
    try:
        out, err = process.communicate(timeout=MOST_SECONDS)
    finally:
        mpiexec.end(process)
    assert process.returncode, (out, err)
    lines = [line for line in err.splitlines() if line.startswith("pyrnn:")]
    assert len(lines) == 1, (out, err)
    assert re.match(message, lines[0]), (out, err)
    begin = time.monotonic()
    while mpiexec.ranks_of(process):  # mpiexec may end a moment before them
        assert time.monotonic() - begin < MOST_SECONDS
        time.sleep(0.02)


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_all_end_with_one_line(wrong: str, message: str, text: Path) -> None:
    options = (*MODEL, "--steps", 6, "--checkpoint-every", 2)
    check(wrong, message, "train", "text.py", *options)


@pytest.mark.long
@pytest.mark.parametrize(("wrong", "message"), MORE_WRONG.values(), ids=MORE_WRONG)
def test_all_end_with_one_line_in_more_cases(wrong: str, message: str, text: Path) -> None:
    test_all_end_with_one_line(wrong, message, text)


@pytest.mark.long
def test_checkpoints_of_different_steps(text: Path) -> None:
    """As on machines without a common disk, where each has its own."""
    for name, steps in [("0", 4), ("1", 6)]:
        options = (*MODEL, "--steps", steps, "--checkpoint-every", 2)
        mpiexec.run(1, "train", "text.py", *options, "--out", f"{name}.safetensors")
    wrong = "sys.argv[2:] = ['--resume', f'{rank}.checkpoint.safetensors']"
    check(wrong, AGREED + "--steps: expected the same on all ranks, got 4 on rank 0", "train")
