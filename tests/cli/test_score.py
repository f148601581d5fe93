"""``pyrnn score``: the score of a text and of its lines; what it refuses; its memory."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyrnn.interop import serialization
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import REPLACEMENT

TEXT = "abc\nabc\ncab\nxéx\nabc\n"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CharacterModel:
    """A model that is saved as m.safetensors, beside a text."""
    monkeypatch.chdir(tmp_path)
    model = CharacterModel("abc\n" + REPLACEMENT, hidden_size=6, seed=0)
    serialization.save(model, "m.safetensors")
    Path("t.txt").write_text(TEXT, encoding="utf-8")
    return model


def test_bits_and_unknown_characters(model: CharacterModel, run: Any) -> None:
    score = model.score(TEXT)
    result = run("score", "m.safetensors", "t.txt")
    assert result == (
        0,
        f"{score.bits_per_character:.3f} bits per character over 20 characters\n"
        "3 unknown characters, read as '\\ufffd': 'x' 2, 'é' 1\n",
        "",
    )


def test_unknown_characters_are_left_out_where_nothing_stands_for_them(
    model: CharacterModel, run: Any
) -> None:
    serialization.save(CharacterModel("abc\n", hidden_size=3, seed=0), "m.safetensors")
    Path("t.txt").write_text("".join(map(chr, range(256, 286))) * 2 + "a", encoding="utf-8")
    first, second = run("score", "m.safetensors", "t.txt").out.splitlines()
    assert first.endswith("over 1 characters")
    assert second.startswith("60 unknown characters, left out: 'Ā' 2, 'ā' 2, ")
    assert second.endswith(", 10 different ones more")


def test_lines_the_most_surprising_first(model: CharacterModel, run: Any) -> None:
    expected = sorted(model.score_lines(TEXT), key=lambda line: -line.bits_per_character)
    out = run("score", "m.safetensors", "t.txt", "--lines").out
    head, body = out.split("\n\n")
    assert head + "\n" == run("score", "m.safetensors", "t.txt").out
    title, *rows = body.splitlines()
    assert title.split() == ["bits", "characters", "line"]
    shown = [(f"{x.bits_per_character:.3f}", "4", str(x.number), x.text) for x in expected]
    assert [tuple(row.split()) for row in rows] == shown
    some = run("score", "m.safetensors", "t.txt", "--lines", "--top", 2).out
    assert some.splitlines() == out.splitlines()[: len(some.splitlines())]
    assert len(some.splitlines()) == 6


def test_standard_input(model: CharacterModel, run: Any, monkeypatch: Any) -> None:
    expected = run("score", "m.safetensors", "t.txt", "--lines")
    given = io.TextIOWrapper(io.BytesIO(TEXT.replace("\n", "\r\n").encode()))
    monkeypatch.setattr("sys.stdin", given)
    assert run("score", "m.safetensors", "-", "--lines") == expected


def test_control_characters_are_escaped_on_a_terminal(
    model: CharacterModel, run: Any, monkeypatch: Any
) -> None:
    Path("t.txt").write_text("a\x1b[2J\n", encoding="utf-8")
    assert "\x1b[2J" in run("score", "m.safetensors", "t.txt", "--lines").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert r"a\x1b[2J" in run("score", "m.safetensors", "t.txt", "--lines").out
    assert "\x1b[2J" in run("score", "m.safetensors", "t.txt", "--lines", "--raw").out


def test_refuses(model: CharacterModel, fails: Any, monkeypatch: Any) -> None:
    assert fails("score", "m.safetensors") == "the following arguments are required: FILE"
    message = fails("score", "m.safetensors", "nowhere")
    assert message == "nowhere: cannot be read (No such file or directory)"
    Path("t.txt").write_bytes(b"abc\xff")
    message = fails("score", "m.safetensors", "t.txt")
    assert message == "t.txt: expected text in UTF-8, got 0xff at byte 3"
    Path("t.txt").write_bytes(b"")
    assert fails("score", "m.safetensors", "t.txt") == "t.txt: expected text, got an empty file"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\xff")))
    message = fails("score", "m.safetensors", "-")
    assert message == "standard input: expected text in UTF-8, got 0xff at byte 1"
    monkeypatch.setattr("sys.stdin", None)
    assert "expected a standard input" in fails("score", "m.safetensors", "-")
    assert "expected a whole number" in fails("score", "m.safetensors", "t.txt", "--top", 0)


@pytest.mark.skipif(os.name == "nt", reason="resource is POSIX's")
def test_memory_does_not_grow_with_the_text(model: CharacterModel) -> None:
    """Many lines and a long one take no more memory than a few."""
    code = (
        "import resource, sys; from pyrnn.cli import main; assert main(sys.argv[1:]) == 0; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak(text: str) -> int:
        Path("t.txt").write_text(text, encoding="utf-8")
        command = [sys.executable, "-W", "ignore", "-c", code]
        command += ["score", "m.safetensors", "t.txt", "--lines", "--top", "5"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1])

    assert peak("abc\n" * 60_000 + "abca" * 60_000) < peak("abc\n" * 100) + 3_000
