"""Numbers, sizes and outputs that cannot be: one line and status 2, whatever the command."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrnn.cli._main import _parser
from pyrnn.cli._training import memory
from pyrnn.interop import serialization

QUICK = ("--hidden", 8, "--seq-len", 10, "--batch", 4, "--steps", 6)


def options(kind: str) -> list[tuple[str, str]]:
    """Command and name of every option that is a number of this kind."""
    commands = _parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    return [
        (command, action.option_strings[-1])
        for command, parser in commands.items()
        for action in parser._actions
        if getattr(action.type, "__qualname__", "").startswith(kind)
    ]


def test_options_are_found() -> None:
    assert ("train", "--threads") in options("whole")
    assert ("sample", "--temperature") in options("number")
    assert len(options("whole")) == 29


class TestNumbers:
    @pytest.mark.parametrize("value", [str(2**64), "9" * 30, "9" * 5000, str(10**400)])
    @pytest.mark.parametrize(("command", "option"), options("whole"))
    def test_whole_numbers_have_an_upper_bound(
        self, command: str, option: str, value: str, text: Path, fails: Any
    ) -> None:
        model = ("m",) if command == "sample" else ()
        message = fails(command, *model, f"{option}={value}")
        assert message.startswith(f"argument {option}: expected a whole number of at most ")
        assert len(message) < 200

    @pytest.mark.parametrize("value", ["nan", "inf", "-1", "1.5", "", " ", "0x10", "1e3", "None"])
    @pytest.mark.parametrize(("command", "option"), options("whole"))
    def test_whole_numbers(
        self, command: str, option: str, value: str, text: Path, fails: Any
    ) -> None:
        model = ("m",) if command == "sample" else ()
        message = fails(command, *model, f"{option}={value}")
        assert message.startswith(f"argument {option}: expected a whole number of at least ")

    @pytest.mark.parametrize("value", ["nan", "inf", "1e400", "-1e-9", "", "one", "1" * 400])
    @pytest.mark.parametrize(("command", "option"), options("number"))
    def test_numbers(self, command: str, option: str, value: str, text: Path, fails: Any) -> None:
        model = ("m",) if command == "sample" else ()
        message = fails(command, *model, f"{option}={value}")
        assert message.startswith(f"argument {option}: expected a number ")
        assert len(message) < 200

    def test_time_is_bounded(self, text: Path, fails: Any) -> None:
        message = fails("train", text, "--time", "1e300")
        assert message == "argument --time: expected a number of at most 1e+09, got '1e300'"

    @pytest.mark.parametrize("option", ["--hidden", "--input", "--batch", "--seq-len"])
    def test_a_comparison_too_large(self, option: str, fails: Any) -> None:
        message = fails("compare", option, 2**31 - 1)
        assert message.startswith("--hidden, --input, --batch, --seq-len: expected sizes that fit")

    def test_a_comparison_too_large_for_a_machine_that_hides_its_memory(
        self, fails: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "_total", lambda: None)
        message = fails("compare", "--hidden", 50_000)
        assert message.startswith("--hidden, --input, --seq-len, --batch: weight_hh_l0: expected")

    def test_a_held_out_text_too_large(
        self, text: Path, fails: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = text.stat().st_size
        monkeypatch.setattr(memory, "_total", lambda: 2 * size - 1)
        monkeypatch.setattr("pyrnn.text.preparation.blocks", lambda path: pytest.fail("it went on"))
        message = fails("train", text, "--val", text, *QUICK)
        assert message.startswith("--val: expected a file that fits into the")


@pytest.mark.parametrize("arguments", [("train", ""), ("train", "--out", ""), ("sample", "")])
def test_a_file_without_a_name(arguments: tuple[str, ...], text: Path, fails: Any) -> None:
    argument = {"train": "FILE", "--out": "--out", "sample": "MODEL"}[arguments[-2]]
    assert fails(*arguments) == f"argument {argument}: expected a file name, got ''"
    assert os.listdir() == ["text.py"]


@pytest.mark.parametrize("limit", [10**9, 12_345])
def test_a_limit_of_a_container_counts(limit: int, tmp_path: Path, monkeypatch: Any) -> None:
    for number, content in enumerate([str(limit), "max\n", ""]):
        (tmp_path / str(number)).write_text(content)
    monkeypatch.setattr(memory, "LIMITS", [str(tmp_path / name) for name in ("0", "1", "2", "3")])
    assert memory._total() == limit


class TestUnexpected:
    @pytest.mark.parametrize("command", ["compare", "sample", "info", "train"])
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (
                RuntimeError("array_t from\na nullptr"),
                "unexpected RuntimeError: array_t from a null",
            ),
            (OverflowError("too large"), "unexpected OverflowError: too large ("),
            (RecursionError("depth"), "unexpected RecursionError: depth ("),
            (ValueError("wrong"), "unexpected ValueError: wrong ("),
            (ImportError("no library"), "unexpected ImportError: no library ("),
            (MemoryError("bad_alloc"), "expected sizes that fit into memory"),
            (PermissionError(13, "Permission denied", "f"), "f: Permission denied"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_is_one_line(
        self, command: str, error: Exception, message: str, fails: Any, monkeypatch: Any
    ) -> None:
        def fail(*arguments: Any, **options: Any) -> None:
            raise error

        monkeypatch.setattr(f"pyrnn.cli.{command}.run", fail)
        model = ("m",) if command == "sample" else ()
        assert fails(command, *model).startswith(message)

    def test_traceback_on_demand(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(arguments: Any) -> None:
            raise RuntimeError("why")

        monkeypatch.setattr("pyrnn.cli.info.run", fail)
        monkeypatch.setenv("PYRNN_TRACEBACK", "1")
        result = run("info")
        assert result.status == 2
        assert "in fail\n" in result.err


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and devices as POSIX has them")
class TestOutput:
    def test_closed_while_training(self, text: Path, start: Callable[..., Any]) -> None:
        process = start("train", text, *QUICK[:-2], "--steps", 10**5)
        next(process.stdout)
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        assert (process.wait(timeout=60), err) == (141, "")
        assert serialization.load("pyrnn-lstm.safetensors")

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is full")
    @pytest.mark.parametrize("stream", [1, 2])
    def test_full(self, stream: int, start: Callable[..., Any]) -> None:
        code = (
            f"import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), {stream})\n"
            f"from pyrnn.cli import main; sys.exit(main(['info'] if {stream} == 1 else ['x']))"
        )
        process = start(code=code)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (2, "")
        assert err == ("pyrnn: error: output: No space left on device\n" if stream == 1 else "")

    def test_a_file_larger_than_allowed(self, text: Path, run: Any, start: Any) -> None:
        assert run("train", text, *QUICK).status == 0
        before = Path("pyrnn-lstm.safetensors").read_bytes()
        code = (
            "import resource, sys; from pyrnn.cli import main\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        process = start("train", text, *QUICK, code=code)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert err == (
            "pyrnn: error: --out: cannot write 'pyrnn-lstm.safetensors' (File too large)\n"
        )
        assert Path("pyrnn-lstm.safetensors").read_bytes() == before
        assert sorted(os.listdir()) == [
            "pyrnn-lstm.history.json",
            "pyrnn-lstm.png",
            "pyrnn-lstm.safetensors",
            "text.py",
        ]

    @pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
    def test_none(self, closed: tuple[int, ...], start: Callable[..., Any]) -> None:
        code = (
            f"import os, sys; [os.close(n) for n in {closed}]; python = {sys.executable!r}\n"
            "os.execv(python, [python, '-m', 'pyrnn', 'info', *sys.argv[1:]])"
        )
        for arguments, status in [((), 0), (("--wrong",), 2)]:
            process = start(*arguments, code=code)
            process.communicate(timeout=60)
            assert process.returncode == status
