"""A stderr that is closed or full: its lines go nowhere else, and no work is lost for them."""

import contextlib
import os
import sys

import pytest

from pyrnn.cli import main
from pyrnn.cli._training import picture


@pytest.fixture(params=["closed", "full"])
def stderr(request, monkeypatch):
    """What Python has for ``2>&-`` and for ``2>/dev/full``."""
    if request.param == "closed":
        monkeypatch.setattr(sys, "stderr", None)
        yield
        return
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115 (closing it fails)
    monkeypatch.setattr(sys, "stderr", full)
    yield
    with contextlib.suppress(OSError):
        full.close()


def fail(*_):
    raise RuntimeError("no picture of this")


def test_what_cannot_be_said_does_not_fail_a_training(text, stderr, monkeypatch, capsys):
    monkeypatch.setattr(picture, "draw", fail)
    arguments = [text, "--hidden", 4, "--steps", 3, "--out", "m.safetensors"]
    assert main(["train", *map(str, arguments)]) == 0
    assert "no picture" not in capsys.readouterr().out
    assert (text.parent / "m.safetensors").exists()


def test_what_cannot_be_said_does_not_fail_a_comparison(stderr, capsys):
    assert main(["compare", "--hidden", "2"]) == 0
    assert "Tolerances" in capsys.readouterr().out


def test_what_cannot_be_said_of_a_conversion_is_not_said_among_results(text, stderr, capsys):
    arguments = [text, "--hidden", 4, "--steps", 3, "--out", "m.safetensors"]
    assert main(["train", *map(str, arguments)]) == 0
    capsys.readouterr()
    assert main(["convert", "m.safetensors", "m.pt"]) == 0
    assert "not in m.pt" not in capsys.readouterr().out


@pytest.mark.parametrize("traceback", ["", "1"])
def test_an_unsaid_error_keeps_its_status(text, stderr, traceback, monkeypatch, capsys):
    monkeypatch.setenv("PYRNN_TRACEBACK", traceback)
    assert main(["inspect", "missing.safetensors"]) == 2
    assert not capsys.readouterr().out
