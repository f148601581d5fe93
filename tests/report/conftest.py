"""What tests of the report share: a run on generated text, recorded as `pyrnn train` does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrnn import report
from pyrnn.cli import main

for package in ("rich", "matplotlib", "safetensors", "jinja2"):
    pytest.importorskip(package)

WORDS = ["def f(x):\n", "    return (x)\n", "    x = [1, 'a b']\n", "class A:\n", "\n"]
INJECTED = "</pre><script>window.hacked = 1</script>"


def written(length: int = 6000) -> str:
    """Text with quotes, brackets and indentation."""
    choice = np.random.default_rng(0).integers(len(WORDS), size=length)
    return "".join(WORDS[n] for n in choice)[:length]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with m.safetensors and its history, of a text that tries to run a script."""
    place = tmp_path_factory.mktemp("run")
    text = place / "<img src=x onerror=hack()> text.py"
    text.write_text(INJECTED * 3 + written(16000) + INJECTED * 9 + written(80), encoding="utf-8")
    out = place / "m.safetensors"
    options: list[Any] = [
        "--hidden",
        12,
        "--steps",
        30,
        "--batch",
        4,
        "--seq-len",
        16,
        "--out",
        out,
    ]
    assert main(["train", str(text), *map(str, options)]) == 0
    return place


@pytest.fixture(scope="session")
def run(folder: Path) -> report.Run:
    """The run in that folder."""
    return report.load(folder / "m.safetensors")


@pytest.fixture(scope="session")
def page(run: report.Run) -> str:
    """Its report."""
    return run.html()
