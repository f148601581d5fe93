"""The files that ``pyrnn train`` writes: nobody else's, and each a file of its own."""

import os
from pathlib import Path
from typing import Any

import pytest

QUICK = ("--hidden", 4, "--seq-len", 10, "--batch", 4, "--steps", 2)
BESIDE = (".png", ".history.json", ".report.html")


@pytest.mark.parametrize("suffix", BESIDE)
def test_a_file_of_the_user_s_beside_the_model_stays(
    suffix: str, text: Path, run: Any, fails: Any
) -> None:
    if suffix == ".report.html":
        pytest.importorskip("jinja2")
    own = Path(f"thesis{suffix}")
    own.write_text("mine")
    command = ("train", text, *QUICK, "--out", "thesis.safetensors", "--report")
    assert fails(*command[: None if "html" in suffix else -1]).startswith(
        f"--out: '{own}' is there already; --force"
    )
    assert sorted(os.listdir()) == sorted([text.name, own.name])
    assert own.read_text() == "mine"
    if suffix == ".png":
        assert run("train", text, *QUICK, "--out", "thesis.safetensors", "--force").status == 0
        assert own.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(os.name == "nt", reason="needs links")
@pytest.mark.parametrize("suffix", [".png", ".history.json", ".checkpoint.safetensors"])
@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_two_of_them_are_no_one_file(suffix: str, link: Any, text: Path, fails: Any) -> None:
    model = Path("m.safetensors")
    model.write_text("old")
    link(model.name, f"m{suffix}")
    command = ("train", text, *QUICK, "--out", model, "--checkpoint-every", 1, "--force")
    assert fails(*command).startswith("--out: expected different files to write, got ")
    assert model.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_nor_will_be(text: Path, fails: Any) -> None:
    os.symlink("m.safetensors", "m.png")  # which does not exist yet
    assert fails("train", text, *QUICK, "--out", "m.safetensors", "--force").startswith(
        "--out: expected different files to write, got 'm.safetensors', which is 'm.png'"
    )
