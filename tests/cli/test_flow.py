"""``pyrnn flow``: its table, its picture, what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from pyrnn.diagnostics import gradient_flow
from pyrnn.interop import serialization
from pyrnn.text.character_model import CharacterModel

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CharacterModel:
    """A model that is saved as m.safetensors in the current folder."""
    monkeypatch.chdir(tmp_path)
    model = CharacterModel("abc\n", hidden_size=6, seed=0)
    serialization.save(model, "m.safetensors")
    return model


def test_the_norms_of_a_text_are_printed(model: CharacterModel, run: Any) -> None:
    Path("t.txt").write_text("abc\r\ncab")
    result = run("flow", "m.safetensors", "--text", "t.txt", "--steps", 7)
    assert result.status == 0
    indices = model.vocabulary.encode("abc\ncab")[:, None]
    norms = gradient_flow(model, indices).norms
    rows = [line.split() for line in result.out.splitlines()[1:6]]
    assert [int(row[0]) for row in rows] == [0, 1, 2, 4, 7]
    for lag, h, c in rows:
        assert float(h) == pytest.approx(float(norms["h"][int(lag), 0]), rel=1e-2)
        assert float(c) == pytest.approx(float(norms["c"][int(lag), 0]), rel=1e-2, abs=1e-12)
    assert "largest singular value" in result.out


def test_without_a_text_it_reads_what_it_writes(model: CharacterModel, run: Any) -> None:
    first = run("flow", "m.safetensors", "--steps", 20, "--seed", 1)
    assert first.status == 0
    assert "the gradient of h halves every" in first.out
    assert run("flow", "m.safetensors", "--steps", 20, "--seed", 1) == first
    assert run("flow", "m.safetensors", "--steps", 20, "--seed", 2) != first


def test_the_picture_is_written(model: CharacterModel, run: Any) -> None:
    result = run("flow", "m.safetensors", "--steps", 5, "--out", "flow.png")
    assert result.status == 0
    assert result.out.endswith("picture: flow.png\n")
    assert Path("flow.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_is_there_already_stays(model: CharacterModel, run: Any, fails: Any) -> None:
    Path("flow.png").write_text("a photo")
    command = ("flow", "m.safetensors", "--steps", 5, "--out", "flow.png")
    assert fails(*command) == "--out: 'flow.png' is there already; --force overwrites it"
    assert Path("flow.png").read_text() == "a photo"
    assert run(*command, "--force").status == 0
    assert Path("flow.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--text", "none.txt"), "none.txt: cannot be read (No such file or directory)"),
        (("--text", "empty.txt"), "empty.txt: expected text, got an empty file"),
        (("--text", "other.txt"), "--text: expected characters of the model's vocabulary, got 'x'"),
        (("--steps", "0"), "argument --steps: expected a whole number of at least 1, got '0'"),
        (("--out", "no/where.png"), "no/where.png"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], message: str, model: CharacterModel, run: Any
) -> None:
    Path("empty.txt").write_text("")
    Path("other.txt").write_text("x")
    status, out, err = run("flow", "m.safetensors", *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def test_a_large_state_has_the_singular_values_of_some_steps(model, run, monkeypatch):
    whole = run("flow", "m.safetensors", "--steps", 9).out
    assert " steps)" not in whole
    monkeypatch.setattr("pyrnn.cli.flow.WORK_MOST", 0)
    assert run("flow", "m.safetensors", "--steps", 9).out.endswith(" (of 1 steps)\n")


@pytest.mark.parametrize("read", ["m.safetensors", "t.txt"])
def test_what_it_reads_is_not_drawn_over(read: str, model: CharacterModel, fails: Any) -> None:
    Path("t.txt").write_text("abc\ncab")
    Path("link").symlink_to(read)
    before = Path(read).read_bytes()
    for out in (read, f"./{read}", "link"):
        message = fails("flow", "m.safetensors", "--text", "t.txt", "--out", out)
        assert message == f"--out: expected another file than what is read, got {out!r}"
    assert Path(read).read_bytes() == before
