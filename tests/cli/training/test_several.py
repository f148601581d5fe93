"""``mpiexec pyrnn train``: one process' curve, the same bits again, a rank that dies."""

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pyrnn.training.run import checkpoint
from tests.distributed import mpiexec

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")

MODEL = ("--hidden", 12, "--layers", 2, "--batch", 6, "--seq-len", 8, "--dtype", "float64")
MOST_SECONDS = 30
"""In which a job has to end after one of its ranks has."""


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would take most of a short run."""
    monkeypatch.setenv("MPLBACKEND", "none of matplotlib's")


def scores(path: Path) -> list[list[float]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [[line[name] for name in ("step", "bits", "held_out", "lr")] for line in lines]


def train(ranks: int, name: str, *arguments: object) -> tuple[list[list[float]], bytes, str]:
    """One run: its log, its model, what it printed."""
    files = ("--out", f"{name}.safetensors", "--log", f"{name}.jsonl")
    out, _ = mpiexec.run(ranks, "train", "text.py", *MODEL, *files, *arguments)
    return scores(Path(f"{name}.jsonl")), Path(f"{name}.safetensors").read_bytes(), out


def test_the_curve_of_one_process_and_the_same_bits_again(text: Path) -> None:
    one, _, out = train(1, "one", "--steps", 24)
    assert "ranks" not in out
    two, model, out = train(2, "two", "--steps", 24)
    np.testing.assert_allclose(two, one, rtol=1e-9)
    assert len(one) == 8
    assert "2 ranks of" in out
    assert out.count("100%") == out.count("held-out  ") == 1  # one of them speaks
    again = train(2, "again", "--steps", 24)
    assert again[:2] == (two, model)


def test_words(text: Path) -> None:
    options = ("--steps", 8, "--tokens", "words")
    one, _, _ = train(1, "one", *options)
    two, _, out = train(2, "two", *options)
    np.testing.assert_allclose(two, one, rtol=1e-9)
    assert " words to train on" in out


BUCKETS = """
import runpy
from pyrnn.distributed import exchange

exchange.BUCKET_BYTES = 1024  # so that exchanges are under way during the backward pass
runpy.run_module("pyrnn", run_name="__main__")
"""
IN_BUCKETS = ("-W", "ignore::RuntimeWarning", "-c", BUCKETS)


def test_many_buckets_change_no_bit(text: Path) -> None:
    _, expected, _ = train(3, "one", "--steps", 24, "--dropout", 0.2)
    arguments = ("train", "text.py", *MODEL, "--steps", 24, "--dropout", 0.2)
    mpiexec.run(3, *arguments, "--out", "many.safetensors", program=IN_BUCKETS)
    assert Path("many.safetensors").read_bytes() == expected


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_rank_that_is_killed(kills: int, text: Path) -> None:
    draw = random.Random(0)
    options = ("--steps", 300, "--dropout", 0.2)
    _, expected, _ = train(2, "undisturbed", *options)
    command = ["train", "text.py", *MODEL, *options, "--checkpoint-every", 5]
    command += ["--out", "m.safetensors"]
    kept = Path("m.checkpoint.safetensors")
    for _ in range(kills):
        before = kept.stat().st_mtime_ns if kept.exists() else 0
        process = mpiexec.start(2, *command, program=IN_BUCKETS)
        try:
            while process.poll() is None and (
                not kept.exists() or kept.stat().st_mtime_ns == before
            ):
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.3))
            ranks = mpiexec.ranks_of(process)
            begin = time.monotonic()
            if ranks and process.poll() is None:
                os.kill(draw.choice(ranks), signal.SIGKILL)
            out, err = process.communicate(timeout=MOST_SECONDS)
            assert time.monotonic() - begin < MOST_SECONDS
            # Either mpiexec tells, or the other rank, which may be the first to notice, or MPICH.
            lines = [line for line in err.splitlines() if not line.startswith("Abort(")]
            noticed = not lines or (len(lines) == 1 and "which may have died" in lines[0])
            told = "Killed (signal 9)" in out or (err and noticed)
            assert not process.returncode or told, (out, err)
        finally:
            mpiexec.end(process)
        assert checkpoint.read(kept)["training"]["counts"][0] >= 0
        command = ["train", "--resume", str(kept)]
    mpiexec.run(2, *command)
    assert Path("m.safetensors").read_bytes() == expected


def test_a_signal_to_one_rank_ends_all_and_another_number_goes_on(text: Path) -> None:
    options = (*MODEL, "--steps", 400, "--k2", 24)
    mpiexec.run(1, "train", "text.py", *options, "--log", "one.jsonl")
    process = mpiexec.start(
        2, "train", "text.py", *options, "--log", "log.jsonl", "--out", "m.safetensors",
        "--checkpoint-every", 1000,
    )  # fmt: skip
    try:
        while process.poll() is None and not Path("log.jsonl").exists():
            time.sleep(0.01)
        os.kill(mpiexec.ranks_of(process)[1], signal.SIGTERM)
        out, err = process.communicate(timeout=MOST_SECONDS)
    finally:
        mpiexec.end(process)
    assert out.count("terminated after step") == 1, (out, err)
    assert err.count("pyrnn: terminated") == 1
    assert Path("m.safetensors").exists()
    tree = checkpoint.read("m.checkpoint.safetensors")["training"]
    assert 0 < tree["counts"][0] < 400
    assert len(tree["generators"]) == 2
    assert tree["state"][0].shape == (2, 6, 12)
    mpiexec.run(1, "train", "--resume", "m.checkpoint.safetensors")
    np.testing.assert_allclose(scores(Path("log.jsonl")), scores(Path("one.jsonl")), rtol=1e-9)


def test_a_mistake_is_one_line(text: Path) -> None:
    _, err = mpiexec.run(2, "train", "text.py", *MODEL, "--batch", 1, status=2)
    assert err == ("pyrnn: error: --batch: expected at least a stream for each of 2 ranks, got 1\n")


FAILING = """
import runpy
from pyrnn.cli._training import log

def fail(path, line):
    raise RuntimeError("no line")

log.append = fail  # which rank 0 alone calls
runpy.run_module("pyrnn", run_name="__main__")
"""


def test_a_rank_that_fails_says_so_and_ends_all(text: Path) -> None:
    arguments = ("train", "text.py", *MODEL, "--steps", 24, "--log", "log")
    process = mpiexec.start(2, *arguments, program=("-c", FAILING))
    try:
        _, err = process.communicate(timeout=MOST_SECONDS)
    finally:
        mpiexec.end(process)
    assert process.returncode
    lines = [line for line in err.splitlines() if line.startswith("pyrnn:")]
    assert lines == ["pyrnn: rank 0 of 2 failed, so all ranks end: RuntimeError: no line"], err
    assert Path("pyrnn-lstm.safetensors").exists()  # the model as far as it was
