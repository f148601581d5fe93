"""``pyrnn train --tokens``: bytes, words and tokenisers, through all commands that take a model."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyrnn.cli._training import texts
from pyrnn.interop import serialization
from pyrnn.text import ByteVocabulary, WordVocabulary
from tests.text.vocabularies.test_tokenizer import byte_pairs

QUICK = ("--hidden", 8, "--layers", 2, "--dropout", 0.3, "--seq-len", 10, "--batch", 4)
STEPS = ("--steps", 20, "--checkpoint-every", 7)


def tokens_of(kind: str) -> tuple[object, ...]:
    if kind == "tokenizer":
        byte_pairs().save("tokenizer.json")
        return ("--tokens", "tokenizer.json")
    return ("--tokens", kind)


@pytest.mark.parametrize("kind", ["bytes", "words", "tokenizer"])
def test_every_command(kind: str, text: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind != "bytes":
        monkeypatch.setattr(texts, "CACHE_FROM", 1)
    chosen = tokens_of(kind)
    done = run("train", text, *chosen, *QUICK, *STEPS, "--out", "m.safetensors")
    assert done.status == 0, done.err
    unit = {"bytes": "byte", "words": "word", "tokenizer": "token"}[kind]
    line = re.search(
        rf"held-out  ([\d.]+) bits per character over ([\d,]+) characters "
        rf"\(([\d.]+) per {unit} over ([\d,]+) {unit}s\)",
        done.out,
    )
    assert line is not None, done.out
    characters, tokens = (int(line[n].replace(",", "")) for n in (2, 4))
    bits, each = float(line[1]), float(line[3])
    assert bits * characters == pytest.approx(each * tokens, rel=2e-3)
    model = serialization.load_character_model("m.safetensors")
    assert model.vocabulary.unit == unit
    history = json.loads(Path("m.history.json").read_text())
    assert history["scores"][-1]["bits"] == pytest.approx(bits, abs=1e-3)
    score = run("score", "m.safetensors", text, "--lines").out
    assert f" per {unit} over " in score
    assert "class A:" in score
    for options in ((), ("--stream",), ("--prompt", "def f", "--stop", "\n")):
        assert run("sample", "m.safetensors", "--length", 9, "--seed", 1, *options).status == 0
    for options in ((), ("--text", text)):
        assert run("flow", "m.safetensors", "--steps", 9, *options).status == 0
    assert f"{len(model.vocabulary)}" in run("inspect", "m.safetensors").out
    if kind == "words":
        assert run("report", "m.safetensors").status == 0
        assert f"{len(model.vocabulary):,} {unit}s" in Path("m.report.html").read_text()
    bytes_before = Path("m.safetensors").read_bytes()
    Path("m.safetensors").unlink()
    assert run("train", "--resume", "m.checkpoint.safetensors").status == 0
    assert Path("m.safetensors").read_bytes() == bytes_before


def test_the_share_of_unknown_words_is_said(text: Path, run: Any) -> None:
    """After a training and by a score, each of its own text."""
    text.write_text("a b c d\n" * 500)  # five tokens, of which " d" is left out
    given = ("--tokens", "words", "--vocab-size", 5, "--out", "m.safetensors")
    done = run("train", text, *given, *QUICK, *STEPS)
    assert " over 125 words, 20.0 % of them unknown)\n" in done.out
    Path("other.txt").write_text("a b Z z\n")
    done = run("score", "m.safetensors", "other.txt")
    assert ", 40.0 % of them unknown)\n" in done.out


def test_resumed_within(text: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli.training.test_resuming import Stopped, stop_at

    whole = (*QUICK, *STEPS, "--tokens", "words", "--vocab-size", 12, "--keep", "best")
    assert run("train", text, *whole, "--out", "whole.safetensors").status == 0
    with monkeypatch.context() as patch:
        stop_at(16, patch)
        with pytest.raises(Stopped):
            run("train", text, *whole, "--out", "m.safetensors")
    assert run("train", "--resume", "m.checkpoint.safetensors").status == 0
    assert Path("m.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    model = serialization.load_character_model("m.safetensors")
    assert len(model.vocabulary) == 12


def test_any_data(text: Path, run: Any, fails: Any) -> None:
    Path("data").write_bytes(bytes(range(256)) * 10 + b"\r\n")
    assert "expected text in UTF-8" in fails("train", "data", *QUICK, "--steps", 5)
    options = ("--tokens", "bytes", "--val", "data", "--out", "m.safetensors")
    done = run("train", "data", *QUICK, "--steps", 5, *options)
    assert done.status == 0
    assert "2,562 bytes)" in done.out
    model = serialization.load_character_model("m.safetensors")
    assert model.vocabulary == ByteVocabulary()
    assert "2,562 bytes)" in run("score", "m.safetensors", "data").out


def test_a_text_of_its_own_for_scores(text: Path, run: Any) -> None:
    Path("val").write_text("class A:\n    x = [1, 2]\n" * 30)
    options = ("--tokens", "words", "--val", "val", "--out", "m.safetensors")
    done = run("train", text, *QUICK, "--steps", 5, *options)
    assert re.search(rf"over {24 * 30} characters \(.*over {15 * 30} words\)", done.out)
    vocabulary = serialization.load_character_model("m.safetensors").vocabulary
    assert isinstance(vocabulary, WordVocabulary)
    assert vocabulary.words[0] in ("\n", " ")


def test_refused(text: Path, fails: Any, run: Any) -> None:
    assert fails("train", text, "--min-count", 3) == (
        "--min-count: expected --tokens words with it, got characters"
    )
    assert fails("train", text, "--tokens", "letters") == (
        "--tokens: expected characters, bytes, words or the file of a tokeniser, got 'letters'"
    )
    pytest.importorskip("tokenizers")
    assert fails("train", text, "--tokens", text).startswith(
        f"--tokens: {text}: expected a tokenizer.json ("
    )
    chosen = tokens_of("tokenizer")
    options = (*QUICK, *STEPS, *chosen)
    assert run("train", text, *options, "--out", "m.safetensors").status == 0
    written = Path("tokenizer.json").read_text()
    Path("tokenizer.json").write_text(f"{written}\n")
    assert "tokenizer.json: expected the text of" in fails(
        "train", "--resume", "m.checkpoint.safetensors"
    )
