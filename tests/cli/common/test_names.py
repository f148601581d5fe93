"""Names of files with any characters: printed in one line that does nothing to a terminal."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")

QUICK = ("--hidden", 4, "--seq-len", 10, "--batch", 4, "--steps", 2)
STEM = "Q\n\x1b[31m\u202eb"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a model and its history, all with such names."""
    from pyrnn.cli import main

    folder = tmp_path_factory.mktemp("trained")
    text, model = folder / f"{STEM}.txt", folder / f"{STEM}.safetensors"
    text.write_text("abc defg\n" * 300)
    assert main(["train", str(text), *map(str, QUICK), "--out", str(model)]) == 0
    return folder


MODEL = f"{STEM}.safetensors"
RIGHT: dict[str, tuple[object, ...]] = {
    "train": ("train", f"{STEM}.txt", *QUICK, "--out", f"{STEM}2"),
    "report": ("report", MODEL),
    "flow": ("flow", MODEL, "--steps", 4, "--out", f"{STEM}2.png", "--text", f"{STEM}.txt"),
    "inspect": ("inspect", MODEL),
    "convert": ("convert", MODEL, f"{STEM}.onnx"),
    "export": ("export", MODEL, "--c", f"{STEM}.c"),
    "score": ("score", MODEL, f"{STEM}.txt"),
}
WRONG: dict[str, tuple[object, ...]] = {
    "command": (STEM,),
    "argument": ("info", STEM),
    "option": ("info", f"--{STEM}"),
    "number": ("sample", MODEL, "--length", STEM),
    "model": ("sample", STEM),
    "text": ("train", STEM),
    "held-out": ("train", f"{STEM}.txt", *QUICK, "--val", STEM),
    "checkpoint": ("train", "--resume", STEM),
    "log": ("train", f"{STEM}.txt", *QUICK, "--log", f"{STEM}.txt"),
    "out": ("train", f"{STEM}.txt", *QUICK, "--out", f"{STEM}.txt"),
    "exists": ("train", f"{STEM}.txt", *QUICK, "--out", MODEL),
    "tokens": ("train", f"{STEM}.txt", *QUICK, "--tokens", STEM),
    "kind": ("inspect", STEM),
    "layer": ("convert", MODEL, "x.onnx", "--layer", STEM),
    "name": ("export", MODEL, "--c", STEM, "--name", STEM),
    "history": ("report", f"no{STEM}"),
}


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")


def acts(text: str) -> bool:
    return "\x1b" in text or "\u202e" in text or "Q\n" in text


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", RIGHT)
def test_of_results(command: str, run: Any) -> None:
    if command == "report":
        pytest.importorskip("jinja2")
    if command == "convert":
        pytest.importorskip("onnx")
    result = run(*RIGHT[command])
    assert (result.status, result.err) == (0, "")
    assert not acts(result.out)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("mistake", WRONG)
def test_of_mistakes(mistake: str, fails: Any) -> None:
    if mistake == "history":
        pytest.importorskip("jinja2")
    if mistake == "tokens":
        pytest.importorskip("tokenizers")
    assert not acts(fails(*WRONG[mistake]))
