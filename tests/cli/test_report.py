"""``pyrnn report`` and ``pyrnn train --report``: what they write, what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

from pyrnn._imports import extras

pytest.importorskip("jinja2")

QUICK = ("--hidden", 6, "--steps", 12, "--batch", 4, "--seq-len", 8)


def history(name: str = "m.history.json") -> Any:
    return json.loads(Path(name).read_text(encoding="utf-8"))


def test_a_training_leaves_its_history(text: Path, run: Any) -> None:
    assert run("train", text, *QUICK, "--out", "m.safetensors").status == 0
    found = history()
    assert found["steps"]["step"] == list(range(1, 13))
    assert found["scores"][-1]["step"] == 12
    assert found["model"] == "m.safetensors"
    assert found["text"] in text.read_text(encoding="utf-8")
    assert found["about"]["text"] == "text.py"
    assert all(score["sample"] for score in found["scores"])


def test_recording_changes_no_bit(text: Path, run: Any, monkeypatch: Any) -> None:
    files = []
    for recording in (True, False):
        if not recording:
            monkeypatch.setattr("pyrnn.cli._training.history.recording", lambda *_: None)
        assert run("train", text, *QUICK, "--out", "m.safetensors", "--force").status == 0
        files.append(Path("m.safetensors").read_bytes())
    assert files[0] == files[1]


def test_a_page_for_a_run(text: Path, run: Any) -> None:
    result = run("train", text, *QUICK, "--out", "m.safetensors", "--report")
    assert result.out.endswith("report    m.report.html\n")
    page = Path("m.report.html").read_bytes()
    assert page.startswith(b"<!doctype html>")
    Path("m.report.html").unlink()
    assert run("report", "m.history.json") == (0, "report    m.report.html\n", "")
    assert Path("m.report.html").read_bytes() == page
    Path("t.txt").write_text("class A:\n    return '(x)'\n" * 2000, encoding="utf-8")
    assert run("report", "m.safetensors", "--text", "t.txt", "--out", "other.html").status == 0
    assert b"return &#39;(x)&#39;" in Path("other.html").read_bytes()


def test_a_resumed_run_keeps_its_history(text: Path, run: Any, monkeypatch: Any) -> None:
    whole = ("train", text, *QUICK, "--checkpoint-every", 5)
    assert run(*whole, "--out", "whole.safetensors").status == 0
    from pyrnn.cli._training.run import Training

    step = Training._step

    def ends(self: Any, *given: Any) -> None:
        if self.step == 7:
            raise OSError("the machine went away")
        step(self, *given)

    monkeypatch.setattr(Training, "_step", ends)
    assert run(*whole, "--out", "m.safetensors").status == 2
    monkeypatch.setattr(Training, "_step", step)
    assert history()["steps"]["step"][-1] == 7
    assert run("train", "--resume", "m.checkpoint.safetensors", "--report").status == 0
    assert history() == {**history("whole.history.json"), "model": "m.safetensors"}
    assert Path("m.report.html").exists()


def test_refuses(text: Path, run: Any, fails: Any, monkeypatch: Any) -> None:
    message = fails("report", "m.safetensors")
    assert message == "m.safetensors: expected a model or the history of a run, found neither"
    assert run("train", text, *QUICK, "--out", "m.safetensors").status == 0
    Path("o.html").write_text("mine", encoding="utf-8")
    message = fails("report", "m.safetensors", "--out", "o.html")
    assert message == "--out: 'o.html' is there already; --force overwrites it"
    assert run("report", "m.safetensors", "--out", "o.html", "--force").status == 0
    message = fails("report", "m.safetensors", "--out", "m.safetensors", "--force")
    assert message == "--out: expected another file than what is read, got 'm.safetensors'"
    assert "cannot be read" in fails("report", "m.safetensors", "--text", "nowhere")
    assert "no/o.html" in fails("report", "m.safetensors", "--out", "no/o.html")
    Path("m.history.json").write_text("{}", encoding="utf-8")
    assert "expected the history of a run" in fails("report", "m.safetensors")
    Path("x.safetensors").write_bytes(b"nothing")
    assert "expected a whole .safetensors file" in fails("report", "x.safetensors")

    def missing(name: str) -> Any:
        return None if name == "jinja2" else True

    monkeypatch.setattr(extras.importlib.util, "find_spec", missing)
    expected = "jinja2 is not installed; pip install 'pyrnn[report]' brings it"
    assert fails("report", "m.safetensors") == expected
    assert fails("train", text, *QUICK, "--report") == expected


def test_a_history_that_cannot_be_written_is_one_line(
    text: Path, run: Any, monkeypatch: Any
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyrnn.report.recording.write_atomically", full)
    result = run("train", text, *QUICK, "--out", "m.safetensors")
    assert result.status == 0
    assert set(result.err.splitlines()) == {"pyrnn: no history: No space left on device"}
    assert Path("m.safetensors").exists()


def test_lone_surrogates(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """A model of characters that no UTF-8 has, from another hand, still has a page."""
    from pyrnn.interop import serialization
    from pyrnn.text.character_model import CharacterModel

    monkeypatch.chdir(tmp_path)
    serialization.save(CharacterModel("ab\ud800", hidden_size=3, seed=0), "m.safetensors")
    Path("t.txt").write_text("ab" * 300, encoding="utf-8")
    assert run("report", "m.safetensors", "--text", "t.txt").status == 0
