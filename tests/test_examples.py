"""The scripts of examples/ and the README's example: on every backend they show what they say."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def output_of(backend, capsys):
    """What an example prints when it is run as a script."""

    def run(name):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_example_is_tested():
    tested = {"classify_waves.py", "stream_gru.py", "check_own_rnn.py"}
    tested.add("resemblyzer_embedding.py")  # in interop/torch/test_resemblyzer.py
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_classify_waves(output_of):
    right, tried = map(
        int, re.search(r"right: (\d+) of (\d+)", output_of("classify_waves.py")).groups()
    )
    assert right > 0.9 * tried


def test_stream_gru(output_of):
    lines = output_of("stream_gru.py").splitlines()
    assert [line.split(": ")[1] for line in lines[1:]] == ["True"] * 3


def test_check_own_rnn(output_of):
    output = output_of("check_own_rnn.py")
    assert "ok: tolerance 1e-06" in output
    differences = [float(number) for number in re.findall(r"differs by (\S+)", output)]
    assert len(differences) == 2
    assert max(differences) < 1e-12


def test_readme_example(backend, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    error = float(capsys.readouterr().out.removeprefix("largest error "))
    assert error < 0.2
    assert np.shape(names["means"]) == names["target"][:, :1].shape


def test_readme_shows_the_two_commands_first():
    """Whole lines that work where the system's Python is externally managed; see .ci/run."""
    block = re.search(r"```\n(.*?)```", README, re.DOTALL)
    environment = "python3 -m venv .venv && . .venv/bin/activate && "
    assert block[1].splitlines() == [
        f"{environment}pip install '.[cli]' && pyrnn train   # main job",
        f"{environment}pip install '.[test]' && pytest       # tests",
    ]
    assert README[: block.start()].count("\n") < 10
