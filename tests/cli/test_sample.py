"""``pyrnn sample``: what it prints and what it refuses."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn.cli._common import terminal as _terminal
from pyrnn.interop import serialization
from pyrnn.text.character_model import CharacterModel

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CharacterModel:
    """A model that is saved as m.safetensors in the current folder."""
    monkeypatch.chdir(tmp_path)
    model = CharacterModel("abc\n[é]", hidden_size=6, seed=0)
    serialization.save(model, "m.safetensors")
    return model


def test_prints_prompt_and_continuation(model: CharacterModel, run: Any) -> None:
    arguments = ("--prompt", "ab", "--length", 30, "--temperature", 0.9, "--seed", 1)
    result = run("sample", "m.safetensors", *arguments)
    assert result == (0, "ab" + model.sample("ab", 30, 0.9, 1) + "\n", "")


def test_defaults(model: CharacterModel, run: Any) -> None:
    result = run("sample", "m.safetensors")
    assert result.status == 0
    assert result.out.startswith("\n")
    assert len(result.out) == 1 + 400 + 1
    assert run("sample", "m.safetensors").out != result.out


def test_default_prompt_without_line_ends(model: CharacterModel, run: Any) -> None:
    serialization.save(CharacterModel("xyz", hidden_size=3, seed=0), "m.safetensors")
    assert run("sample", "m.safetensors", "--length", 5).out.startswith("x")


def test_temperature_zero_needs_no_seed(model: CharacterModel, run: Any) -> None:
    arguments = ("sample", "m.safetensors", "--prompt", "a", "--temperature", 0)
    assert run(*arguments).out == run(*arguments).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--prompt", "a?b!"),
            "prompt: expected characters of the model's vocabulary, got '!', '?'",
        ),
        (("--prompt", ""), "prompt: expected at least one character, got ''"),
        (("--length", "0"), "argument --length: expected a whole number of at least 1, got '0'"),
        (
            ("--temperature", "-1"),
            "argument --temperature: expected a number of at least 0, got '-1'",
        ),
        (
            ("--temperature", "nan"),
            "argument --temperature: expected a number of at least 0, got 'nan'",
        ),
        (("--top-k", "0"), "argument --top-k: expected a whole number of at least 1, got '0'"),
        (("--top-p", "0"), "argument --top-p: expected a number above 0, got '0'"),
        (("--top-p", "1.5"), "argument --top-p: expected a number of at most 1, got '1.5'"),
        (
            ("--beams", "2", "--top-k", "3"),
            "--beams: expected no --temperature, --top-k or --top-p with it",
        ),
        (("--stop", ""), "stop: expected strings of at least one character, got ''"),
        (
            ("--prompt", "a", "--prompt", "b?"),
            "prompt[1]: expected characters of the model's vocabulary, got '?'",
        ),
        (("--seed", "x"), "argument --seed: expected a whole number of at least 0, got 'x'"),
    ],
)
def test_refuses(
    arguments: tuple[str, ...], message: str, model: CharacterModel, fails: Any
) -> None:
    assert fails("sample", "m.safetensors", *arguments) == message


def test_refuses_files(model: CharacterModel, fails: Any) -> None:
    assert fails("sample") == "the following arguments are required: MODEL"
    assert fails("sample", "nowhere") == "nowhere: cannot be read (there is no such file)"
    assert fails("sample", ".") == ".: cannot be read (it is a folder)"
    Path("text.safetensors").write_text("not a model\n" * 20, encoding="utf-8")
    assert "expected a whole .safetensors file" in fails("sample", "text.safetensors")
    whole = Path("m.safetensors").read_bytes()
    Path("half.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "a truncated one" in fails("sample", "half.safetensors")
    Path("new.safetensors").write_bytes(whole.replace(b'\\"version\\": 1', b'\\"version\\": 9'))
    assert "a newer pyrnn saved it" in fails("sample", "new.safetensors")
    serialization.save(pyrnn.GRU(3, 4, dtype=np.float64), "gru.safetensors")
    message = fails("sample", "gru.safetensors")
    assert message == "gru.safetensors: expected a CharacterModel, got GRU"


@pytest.mark.skipif(os.name == "nt", reason="needs pipes as POSIX has them")
def test_refuses_a_pipe_at_once(model: CharacterModel, start: Any, fails: Any) -> None:
    os.mkfifo("pipe")
    process = start("sample", "pipe")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == "pyrnn: error: pipe: cannot be read (it is no regular file)\n"
    assert fails("sample", "/dev/zero") == "/dev/zero: cannot be read (it is no regular file)"


@pytest.mark.parametrize(
    ("prompt", "shown"), [("a\r\nb", "a\nb"), ("a\rb", "a\nb"), ("e\u0301", "é")]
)
def test_prompt_in_the_form_of_the_text(
    prompt: str, shown: str, model: CharacterModel, run: Any
) -> None:
    arguments = ("--length", 5, "--seed", 1)
    result = run("sample", "m.safetensors", "--prompt", prompt, *arguments)
    assert result.out == run("sample", "m.safetensors", "--prompt", shown, *arguments).out
    assert result.out.startswith(shown)


def test_never_begins_with_the_replacement(model: CharacterModel, run: Any, fails: Any) -> None:
    serialization.save(CharacterModel("\ufffdxy", hidden_size=3, seed=0), "m.safetensors")
    assert run("sample", "m.safetensors", "--length", 5).out.startswith("x")
    serialization.save(CharacterModel("\ufffd", hidden_size=3, seed=0), "m.safetensors")
    message = fails("sample", "m.safetensors")
    assert message == "vocabulary: expected a character to write, got '\ufffd' alone"


CONTROLS = "a\x1b\x07\r\x9b\x7f\u202e\u2028"


@pytest.fixture
def controlling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CharacterModel:
    """A model over characters that a terminal obeys."""
    monkeypatch.chdir(tmp_path)
    model = CharacterModel(CONTROLS + "\n\t\u00e9", hidden_size=3, seed=0)
    serialization.save(model, "m.safetensors")
    return model


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("terminal", [False, True])
def test_control_characters_are_escaped_on_a_terminal(
    controlling: CharacterModel, run: Any, monkeypatch: Any, terminal: bool, raw: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    arguments = ("--prompt", "\u00e9\n\t" + CONTROLS, "--length", 99, "--seed", 1)
    out = run("sample", "m.safetensors", *arguments, *["--raw"] * raw).out
    if terminal and not raw:
        assert out.startswith("\u00e9\n\t" + r"a\x1b\x07\r\x9b\x7f\u202e\u2028")
        assert not set(out) & set(CONTROLS[1:])
    else:
        assert out == "\u00e9\n\t" + CONTROLS + controlling.sample(arguments[1], 99, 0.7, 1) + "\n"


def test_how_characters_are_chosen(model: CharacterModel, run: Any) -> None:
    command = ("sample", "m.safetensors", "--prompt", "ab", "--length", 20, "--seed", 1)
    drawn = model.sample("ab", 20, 0.7, 1, top_k=3, top_p=0.8)
    assert run(*command, "--top-k", 3, "--top-p", 0.8).out == f"ab{drawn}\n"
    assert run(*command, "--beams", 4).out == "ab" + model.sample("ab", 20, num_beams=4) + "\n"
    stopped = model.sample("ab", 20, 0.7, 1, stop=["c", "\n"])
    assert run(*command, "--stop", "c", "--stop", "\r\n").out == f"ab{stopped}\n"


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts(model: CharacterModel, run: Any, stream: bool) -> None:
    options = ("--length", 20, "--seed", 1, *["--stream"] * stream)
    out = run("sample", "m.safetensors", "--prompt", "ab", "--prompt", "e\u0301", *options).out
    first, second = model.sample(["ab", "é"], 20, 0.7, 1)
    assert out == f"ab{first}\né{second}\n"


@pytest.mark.parametrize("options", [(), ("--stop", "c"), ("--raw",), ("--beams", "2")])
@pytest.mark.parametrize("terminal", [False, True])
def test_a_stream_prints_the_same_piece_by_piece(
    controlling: CharacterModel, run: Any, monkeypatch: Any, terminal: bool, options: Any
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    if options == ("--stop", "c"):
        options = ("--stop", "\x1b\x07")
    command = (
        "sample",
        "m.safetensors",
        "--prompt",
        "a\x1b",
        "--length",
        60,
        "--seed",
        1,
        *options,
    )
    flushes: list[int] = []
    monkeypatch.setattr("pyrnn.cli.sample.print_piece", _counted(flushes))
    assert run(*command, "--stream").out == run(*command).out
    assert (len(flushes) > 1) == ("--beams" not in options)


def _counted(calls: list[int]) -> Any:
    def print_piece(text: str, *, raw: bool) -> None:
        calls.append(1)
        _terminal.print_piece(text, raw=raw)

    return print_piece


def test_the_form_of_the_text_is_in_the_file(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("Les e\u0301te\u0301s, les hivers. " * 400, encoding="utf-8")
    small = ("--hidden", 4, "--steps", 1, "--batch", 2, "--seq-len", 8)
    assert run("train", "text.txt", "--out", "m.safetensors", *small).status == 0
    assert serialization.load_character_model("m.safetensors").unicode_form == "NFD"
    command = ("sample", "m.safetensors", "--length", 9, "--seed", 1, "--prompt")
    assert run(*command, "é").out == run(*command, "e\u0301").out
    assert run(*command, "é").out.startswith("e\u0301")


def test_files_from_before_have_no_form(model: CharacterModel) -> None:
    assert b"unicode_form" not in Path("m.safetensors").read_bytes()
    assert serialization.load_character_model("m.safetensors").unicode_form is None
