"""The command, end to end with pyrnn alone; its arguments and errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import bench.__main__ as command
from bench import launch, machine
from bench.options import Options

ROOT = Path(command.__file__).parents[1]


@pytest.fixture
def _at_the_root(monkeypatch):
    """Where the command is run from, and its workers with it."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


@pytest.mark.usefixtures("_at_the_root")
def test_a_quick_run_leaves_json_and_a_picture(tmp_path, capfd):
    status = command.main(
        ["--growth", "--quick", "--threads", "1", "--only", "^RNN", "--out", str(tmp_path)]
    )
    assert status == 0
    result = json.loads((tmp_path / "growth.json").read_text())
    assert [row["name"] for row in result["rows"]] == ["RNN T", "RNN memory"]
    assert all(seconds > 0 for seconds in result["rows"][0]["seconds"])
    assert list(result["versions"]) == ["pyrnn"]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "Growth of time / of arithmetic" in capfd.readouterr().out


@pytest.mark.usefixtures("_at_the_root")
def test_a_worker_that_fails_is_reported_with_its_last_lines():
    with pytest.raises(launch.WorkerError, match="no such mode"):
        launch.gather([Options("no such mode", 1)], Console(quiet=True), lambda result: None)


@pytest.mark.parametrize(
    "arguments", [["--threads", "0"], ["--threads", "1,999999"], ["--threads", "two"]]
)
def test_wrong_thread_counts_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    assert "expected numbers from 1 to" in capsys.readouterr().err


def test_options_travel_as_json():
    options = Options("grid", 2, True, "LSTM|GRU")
    assert Options.from_json(options.to_json()) == options


def test_only_is_a_regular_expression():
    assert Options("grid", 1, only="lstm t1 ").wants("inference LSTM T1 N1")
    assert not Options("grid", 1, only="lstm t1 ").wants("inference LSTM T100 N1")
    assert Options("grid", 1).wants("anything")


def test_a_restricted_process_has_so_many_cores():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the system cannot keep a process on some cores")
    code = (
        "import os\nfrom bench import machine\nassert machine.restrict(1)\n"
        "print(len(os.sched_getaffinity(0)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "1"
    assert len(machine.cores()) >= 1
