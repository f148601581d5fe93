"""``pyrnn train --log``: it spoils no other file, and no line of it is worth a training."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

import pyrnn
from pyrnn.cli._training import log

RUN = ("--hidden", 8, "--batch", 4, "--seq-len", 8, "--steps", 8, "--seed", 1)
USED = "--log: expected another file than what is read or written, got "
OTHER = "--log: expected a new file, or one of JSON lines, got "


def scores(path: str) -> list[Any]:
    return [json.loads(line)["step"] for line in Path(path).read_text().splitlines()]


def test_lines_are_added_to_a_log(text: Path, run: Any) -> None:
    Path("log").touch(0o600)
    for times in (1, 2):
        result = run("train", text, *RUN, "--out", "m.safetensors", "--force", "--log", "log")
        assert result.status == 0
        steps = scores("log")
        assert len(steps) % times == 0
        assert steps[-1] == 8
    assert Path("log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.py", USED),
        ("val.py", USED),
        ("m.safetensors", USED),
        ("./m.png", USED),
        ("m.history.json", USED),
        ("m.checkpoint.safetensors", USED),
        ("link", USED),
        ("other.safetensors", OTHER),
        ("notes.txt", OTHER),
        ("number.json", OTHER),
        (".", "--log: cannot write '.' (Is a directory)"),
        ("none/log", "--log: cannot write 'none/log' (there is no folder"),
    ],
)
def test_no_other_file_is_written(
    name: str, message: str, text: Path, fails: Any, run: Any
) -> None:
    Path("val.py").write_text(text.read_text(encoding="utf-8"), encoding="utf-8")
    Path("link").symlink_to("val.py")
    Path("notes.txt").write_text("Remember:\n")
    Path("number.json").write_text("1\n")
    pyrnn.save(pyrnn.GRU(2, 3), "other.safetensors")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    said = fails("train", text, *RUN, "--val", "val.py", "--out", "m.safetensors", "--log", name)
    assert said.startswith(message)
    assert {path: path.read_bytes() for path in Path().iterdir() if path in before} == before
    assert not Path("m.safetensors").exists()


def test_a_line_that_cannot_be_written_ends_no_training(
    text: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = log.open_to_append, []

    def open_to_append(path: str) -> Any:
        calls.append(path)
        if len(calls) == 3:  # one check, one line, then one that fails
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return usual(path)

    monkeypatch.setattr(log, "open_to_append", open_to_append)
    Path("log").touch()
    result = run("train", text, *RUN, "--out", "m.safetensors", "--log", "log")
    assert result.status == 0
    assert result.err == f"pyrnn: no line in the log: {os.strerror(errno.ENOSPC)}\n"
    steps = scores("log")
    assert len(steps) == len(calls) - 2
    assert steps[-1] == 8
    assert pyrnn.load("m.safetensors").num_parameters
