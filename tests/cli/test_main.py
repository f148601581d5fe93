"""What all commands share: help, errors, missing packages, closed pipes, interrupts; ``info``."""

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyrnn
from pyrnn.backend import selection
from pyrnn.cli import main
from pyrnn.cli._common.interrupt import Interrupt
from pyrnn.cli._main import PACKAGES, _parser
from pyrnn.cli._training.settings import WARM_UP_STEPS
from pyrnn.cli.train import DEFAULT_SECONDS

COMMANDS = ("train", "sample", "compare", "info")


class TestArguments:
    def test_help(self, run: Any) -> None:
        result = run("--help")
        assert (result.status, result.err) == (0, "")
        for command in COMMANDS:
            assert f"\n    {command} " in result.out
            assert run(command, "--help").out.startswith(f"usage: pyrnn {command}")

    def test_version(self, run: Any) -> None:
        assert run("--version") == (0, f"pyrnn {pyrnn.__version__}\n", "")

    def test_options_of_train(self, run: Any) -> None:
        options = (
            "cell hidden layers seq-len batch steps time lr clip seed dtype backend threads out"
        )
        text = run("train", "--help").out
        for option in options.split():
            assert f"\n  --{option} " in text

    def test_no_command(self, fails: Any) -> None:
        assert fails().startswith(
            "expected a command: train, sample, score, report, compare, flow, convert, export, "
            "inspect or info"
        )

    def test_unknown_command(self, fails: Any) -> None:
        assert fails("fly").startswith("argument command: invalid choice: 'fly'")

    def test_a_mistake_is_no_traceback(self, start: Callable[..., Any]) -> None:
        process = start("train", "--hidden", "0")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert out == ""
        assert err == (
            "pyrnn: error: argument --hidden: expected a whole number of at least 1, got '0'\n"
        )


class TestDocumentation:
    TEXT = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("command", ["train", "sample", "score"])
    def test_options_and_defaults(self, command: str) -> None:
        section = self.TEXT.split(f"## `pyrnn {command} ")[1].split("\n## ")[0]
        rows = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| ([^|]+) \|", section, re.MULTILINE))
        actions = _parser()._subparsers._group_actions[0].choices[command]._actions
        options = {a.option_strings[-1]: a.default for a in actions if a.option_strings}
        assert set(rows) == set(options) - {"--help"}
        for name, default in options.items():
            if default not in (None, argparse.SUPPRESS) and name != "--help":
                shown = "off" if default is False else str(default)
                assert rows[name].strip("`") == shown

    def test_compare(self) -> None:
        section = self.TEXT.split("## `pyrnn compare`")[1].split("\n## ")[0]
        actions = _parser()._subparsers._group_actions[0].choices["compare"]._actions
        options = {a.option_strings[-1]: a.default for a in actions if a.option_strings}
        for name in set(options) - {"--help", "--threads"}:
            shown = "off" if options[name] is False else options[name]
            assert f"`{name}` ({shown})" in section

    def test_numbers(self) -> None:
        assert f"| {DEFAULT_SECONDS:g}; no limit with `--steps` |" in self.TEXT
        assert f"rises over {WARM_UP_STEPS} steps" in self.TEXT


class TestInfo:
    def test_facts(self, run: Any) -> None:
        result = run("info")
        assert (result.status, result.err) == (0, "")
        facts = dict(line.split("  ", 1) for line in result.out.splitlines())
        build = pyrnn.build_info()
        assert facts["pyrnn"].strip() == build["version"]
        assert facts["NumPy"].strip() == build["numpy"]
        assert facts["threads"].strip() == str(build["threads"])
        assert facts["backend"].strip() == build["backend"]
        assert (build["isa"] or "none: the compiled core is missing") in facts["ISA in use"]
        assert facts["ISAs built in"].strip() == (", ".join(build["isas"]) or "none")

    @pytest.mark.skipif("native" not in selection.available(), reason="no compiled core")
    def test_an_instruction_set_that_is_none(
        self, start: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYRNN_ISA", "mmx")
        process = start("info")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (2, "")
        assert err.startswith("pyrnn: error: PYRNN_ISA: expected one of")
        assert err.count("\n") == 1

    def test_aligned(self, run: Any) -> None:
        lines = run("info").out.splitlines()
        width = max(len(line.split("  ")[0]) for line in lines)
        assert all(line[width : width + 2] == "  " and line[width + 2] != " " for line in lines)


class TestMissingPackages:
    @pytest.mark.parametrize("package", PACKAGES)
    @pytest.mark.parametrize("arguments", [(), ("train",), ("sample", "m"), ("compare",)])
    def test_one_line_says_how(
        self, arguments: tuple[str, ...], package: str, fails: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        message = fails(*arguments)
        assert message == f"{package} is not installed; pip install 'pyrnn[cli]' brings it"

    def test_several(self, fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for package in PACKAGES:
            monkeypatch.setitem(sys.modules, package, None)
        assert fails("train").startswith("rich, matplotlib, safetensors are not installed; pip ")

    def test_info_and_help_need_numpy_alone(self, start: Callable[..., Any]) -> None:
        code = (
            "import sys\n"
            f"for name in {PACKAGES!r}: sys.modules[name] = None\n"
            "from pyrnn.cli import main\n"
            "sys.exit(main(['info']) + main(['--help']))"
        )
        process = start(code=code)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert "NumPy" in out


class TestEnds:
    @pytest.mark.skipif(os.name == "nt", reason="needs a pipe that signals its end")
    def test_closed_pipe(self, start: Callable[..., Any]) -> None:
        process = start("info")
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == ""
        process.stderr.close()

    def test_interrupted_outside_of_training(self, run: Any, monkeypatch: Any) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("pyrnn.cli.train.standard_library", interrupt)
        assert run("train") == (130, "", "pyrnn: interrupted\n")

    def test_text_that_the_terminal_cannot_show(
        self, tmp_path: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pyrnn.interop import serialization
        from pyrnn.text.character_model import CharacterModel

        path = tmp_path / "m.safetensors"
        serialization.save(CharacterModel("é", hidden_size=2, seed=0), path)
        code = (
            "import sys; from pyrnn.cli import main\n"
            "sys.stdout.reconfigure(encoding='ascii', errors='strict')\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        process = start("sample", path, "--length", 2, code=code)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "\\xe9" * 3 + "\n", "")

    def test_errors_of_the_system_are_one_line(self, fails: Any, monkeypatch: Any) -> None:
        def fail(*arguments: object) -> None:
            raise PermissionError(13, "Permission denied", "some/file")

        monkeypatch.setattr("pyrnn.cli.train.standard_library", fail)
        assert fails("train") == "some/file: Permission denied"


class TestInterrupt:
    def test_is_a_request_inside_and_interrupts_outside(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        with Interrupt() as interrupt:
            assert not interrupt.requested
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert interrupt.requested
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    def test_leaves_other_threads_alone(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        entered = []

        def work() -> None:
            with Interrupt() as interrupt:
                entered.append(interrupt.requested)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert entered == [False]
        assert signal.getsignal(signal.SIGINT) is before


def test_status_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert main(["train", "--hidden", "0"]) == 2
