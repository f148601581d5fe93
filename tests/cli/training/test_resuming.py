"""``pyrnn train --resume``: a run killed at any instant ends with the bits of one never stopped."""

import errno
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn.training.run import checkpoint

RUN = ("--hidden", 8, "--layers", 2, "--dropout", 0.3, "--seq-len", 10, "--batch", 4)
STEPS = ("--steps", 40, "--checkpoint-every", 3)
CHECKPOINT = "m.checkpoint.safetensors"


def model_bytes(name: str = "m.safetensors") -> bytes:
    return Path(name).read_bytes()


@pytest.fixture
def never_stopped(text: Path, run: Any) -> bytes:
    """The model of the whole run."""
    assert run("train", text, *RUN, *STEPS, "--out", "whole.safetensors").status == 0
    return model_bytes("whole.safetensors")


class Stopped(BaseException):
    """As if the process had ended there."""


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrnn.cli._training.run import Training

    usual = Training._record

    def record(training: Any, bits: float) -> None:
        usual(training, bits)
        if training.step == step:
            raise Stopped

    monkeypatch.setattr(Training, "_record", record)


@pytest.mark.parametrize(
    "extra",
    [
        (),
        ("--keep", "best", "--optimizer", "adamw"),
        ("--k1", 10, "--k2", 30, "--schedule", "cosine", "--cell", "mingru"),
    ],
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    text: Path, run: Any, extra: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", text, *RUN, *STEPS, *extra, "--out", "whole.safetensors").status == 0
    arguments: tuple[Any, ...] = ("train", text, *RUN, *STEPS, *extra, "--out", "m.safetensors")
    for step in (1, 8, 21, 39):
        with monkeypatch.context() as patch:
            stop_at(step, patch)
            with pytest.raises(Stopped):
                run(*arguments)
        arguments = ("train", "--resume", CHECKPOINT)
    result = run(*arguments)
    assert result.status == 0
    assert model_bytes() == model_bytes("whole.safetensors")
    assert f"model     {Path('m.safetensors').resolve()}" in result.out
    assert run(*arguments).status == 0  # it has ended, and gives the same again
    assert model_bytes() == model_bytes("whole.safetensors")


def killed(start: Any, text: Path, draw: random.Random, longest: float) -> None:
    """Start, kill after a while; go on from what there is until a start comes to its end."""
    while True:
        there = os.path.exists(CHECKPOINT)
        process = (
            start("train", "--resume", CHECKPOINT)
            if there
            else start("train", text, *RUN, *STEPS, "--out", "m.safetensors", "--force")
        )
        time.sleep(draw.uniform(0.3, longest))
        ended = process.poll() is not None
        process.kill()
        out, err = process.communicate()
        if ended:
            assert process.returncode == 0, out + err
            return
        if there:
            checkpoint.read(CHECKPOINT)  # a whole one


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_runs_end_with_the_same_bits(text: Path, start: Any, never_stopped: bytes) -> None:
    killed(start, text, random.Random(0), 6.0)
    assert model_bytes() == never_stopped


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_fifty_kills(text: Path, start: Any, never_stopped: bytes) -> None:
    draw, kills = random.Random(1), 0
    while kills < 50:
        for path in Path().glob("m.*"):
            path.unlink()
        killed(start, text, draw, 2.0)
        kills += 5
        assert model_bytes() == never_stopped


def test_a_full_disk_is_one_line_and_loses_nothing(
    text: Path, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = checkpoint.write_atomically, []

    def write(path: Any, data: bytes) -> None:
        calls.append(path)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(path, data)

    monkeypatch.setattr(checkpoint, "write_atomically", write)
    message = fails("train", text, *RUN, *STEPS, "--out", "m.safetensors")
    assert message == (
        f"--checkpoint-every: cannot write {CHECKPOINT!r} ({os.strerror(errno.ENOSPC)})"
    )
    assert checkpoint.read(CHECKPOINT)["training"]["counts"][0] == 9
    assert pyrnn.load("m.safetensors").num_parameters  # what was learned is there, too


def test_outputs_are_not_overwritten(text: Path, run: Any, fails: Any) -> None:
    arguments = ("train", text, *RUN, "--steps", 2, "--out", "m.safetensors")
    assert run(*arguments).status == 0
    before = model_bytes()
    message = fails(*arguments, "--seed", 3)
    assert message == "--out: 'm.safetensors' is there already; --force overwrites it"
    assert model_bytes() == before
    assert run(*arguments, "--seed", 3, "--force", "--checkpoint-every", 1).status == 0
    assert model_bytes() != before
    os.unlink("m.safetensors")
    message = fails(*arguments, "--checkpoint-every", 1)
    assert message == (
        f"--out: {CHECKPOINT!r} is there already; --resume {CHECKPOINT} continues it, --force "
        "overwrites it"
    )


def test_what_cannot_be_resumed(text: Path, run: Any, fails: Any) -> None:
    assert run("train", text, *RUN, *STEPS, "--out", "m.safetensors").status == 0
    resume = ("train", "--resume", CHECKPOINT)
    assert fails(*resume, "--lr", 0.1, text) == (
        "--resume: expected no other arguments, since they are in the checkpoint; got FILE, --lr"
    )
    assert "No such file" in fails("train", "--resume", "missing")
    assert "expected a checkpoint of a training" in fails("train", "--resume", "m.safetensors")
    text.write_text(text.read_text(encoding="utf-8").replace("x", "y"), encoding="utf-8")
    assert "bytes that the training began with, got another" in fails(*resume)
    text.unlink()
    assert "cannot be read" in fails(*resume)
    checkpoint.write("other", {"a": 1})
    assert "expected a checkpoint of pyrnn train" in fails("train", "--resume", "other")


def test_epochs_patience_and_the_best(text: Path, run: Any) -> None:
    result = run("train", text, *RUN, "--epochs", 3, "--log", "log.jsonl", "--out", "m.safetensors")
    assert result.status == 0
    lines = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert lines[-1]["step"] == 3 * -(-(5699 // 4) // 10)
    stopped = ("--epochs", 50, "--patience", 2, "--lr", 1e-9, "--keep", "best")
    Path("log.jsonl").unlink()
    result = run("train", text, *RUN, *stopped, "--log", "log.jsonl", "--out", "n.safetensors")
    assert result.status == 0
    bits = [json.loads(line)["held_out"] for line in Path("log.jsonl").read_text().splitlines()]
    assert len(bits) < 50
    model = pyrnn.load("n.safetensors")
    assert isinstance(model, pyrnn.CharacterModel)
    shown = float(result.out.split("held-out  ")[1].split()[0])
    assert shown == pytest.approx(min(bits), abs=1e-3)


def test_a_text_of_its_own_to_score_on(text: Path, run: Any, fails: Any) -> None:
    Path("val.txt").write_text("x = [1, 2]\n" * 30)
    result = run(
        "train", text, *RUN, "--steps", 3, "--val", "val.txt", "--embedding", 5,
        "--out", "m.safetensors",
    )  # fmt: skip
    assert result.status == 0
    assert "6,000 characters to train on, 330 held out" in result.out.replace("6,001", "6,000")
    model = pyrnn.load("m.safetensors")
    assert isinstance(model, pyrnn.CharacterModel)
    assert model.embedding_dim == 5
    assert fails("train", text, "--dropout", 0.5) == (
        "--dropout: expected --layers 2 or more with it, got 1"
    )


def test_a_checkpoint_has_no_more_than_it_needs(text: Path, run: Any) -> None:
    assert run("train", text, *RUN, *STEPS, "--out", "m.safetensors").status == 0
    tree = checkpoint.read(CHECKPOINT)
    assert tree["arguments"]["files"] == [str(text)]
    assert tree["training"]["counts"][0] == 40
    assert np.shape(tree["training"]["losses"]) == (40, 2)
