"""The scripts of examples/ and the README's example: on every backend they show what they say."""

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
import zipfile
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
    tested.add("silero_vad.py")  # in interop/onnx/test_silero.py
    tested.add("g2p_english.py")  # in interop/test_g2p.py
    tested |= {"japanese_vowels.py", "text_model.py", "classify_vowels.py", "score_at_scale.py"}
    tested.add("serve_streams.py")  # in test_serve_streams.py
    tested |= {"forecast_demand.py", "forecast_counts.py", "search_optuna.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_classify_waves(output_of):
    right, tried = map(
        int, re.search(r"right: (\d+) of (\d+)", output_of("classify_waves.py")).groups()
    )
    assert right > 0.9 * tried


@pytest.mark.parametrize(
    ("engine", "packages"),
    [
        ("futures", []),
        ("joblib", ["joblib"]),
        pytest.param("dask-array", ["dask.array", "distributed"], marks=pytest.mark.long),
        pytest.param("dask-bag", ["dask.bag", "distributed"], marks=pytest.mark.long),
        pytest.param("ray", ["ray", "ray.data"], marks=pytest.mark.long),
        pytest.param("spark", ["pyspark", "pandas", "pyarrow"], marks=pytest.mark.long),
    ],
)
def test_score_at_scale(engine, packages):
    for package in packages:
        found = importlib.util.find_spec(package.split(".")[0])  # an import takes a second
        if found is None:
            pytest.skip(f"could not import {package!r}")
    if engine == "spark" and shutil.which("java") is None:
        pytest.skip("java is not installed")
    done = subprocess.run(
        [sys.executable, "-P", EXAMPLES / "score_at_scale.py", engine],
        env={**os.environ, "SEQUENCES": "600", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^.*{engine}: 600 sequences in", done.stdout, re.MULTILINE)
    assert done.stdout.rstrip().endswith("the bits of one process: True")


def test_stream_gru(output_of):
    lines = output_of("stream_gru.py").splitlines()
    assert [line.split(": ")[1] for line in lines[1:]] == ["True"] * 3


def test_check_own_rnn(output_of):
    output = output_of("check_own_rnn.py")
    assert "ok: tolerance 1e-06" in output
    differences = [float(number) for number in re.findall(r"differs by (\S+)", output)]
    assert len(differences) == 2
    assert max(differences) < 1e-12


def write_vowels(path, count, seed):
    """Utterances as aeon has them, of which the speaker is plain to see."""
    generator = np.random.default_rng(seed)
    lines = ["# as of aeon", "@data"]
    for number in range(count):
        steps = generator.integers(7, 30)
        channels = 0.1 * generator.standard_normal((12, steps))
        channels[number % 9] += 1
        texts = [",".join(f"{value:.4f}" for value in channel) for channel in channels]
        lines.append(":".join([*texts, str(number % 9 + 1)]))
    path.write_text("\n".join(lines))


def test_japanese_vowels(backend, tmp_path):
    example = runpy.run_path(str(EXAMPLES / "japanese_vowels.py"))
    write_vowels(tmp_path / "JapaneseVowels_TRAIN.ts", 90, 0)
    write_vowels(tmp_path / "JapaneseVowels_TEST.ts", 45, 1)
    assert example["main"](tmp_path, epochs=12) > 0.9


@pytest.fixture
def vowels(tmp_path):
    """The folder of the true data, from the package aeon; in the long form it is downloaded."""
    spec = importlib.util.find_spec("aeon")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "datasets" / "data" / "JapaneseVowels"
    if os.environ.get("PYRNN_LONG_TESTS") != "1":
        pytest.skip("aeon is not installed; PYRNN_LONG_TESTS=1 downloads it")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "aeon==1.6.0"]
    done = subprocess.run([*command, "-d", str(tmp_path)], capture_output=True, timeout=300)
    if done.returncode:
        pytest.skip("aeon==1.6.0 cannot be downloaded")
    (wheel,) = tmp_path.glob("aeon-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if "/JapaneseVowels_T" in n]
        archive.extractall(tmp_path, names)
    return (tmp_path / names[0]).parent


def test_japanese_vowels_of_nine_men(vowels):
    """At least 0.97 over five seeds, each in less than 5 s of one core."""
    example = runpy.run_path(str(EXAMPLES / "japanese_vowels.py"))
    right, before = [], time.process_time()
    for seed in range(5):
        right.append(example["main"](vowels, seed))
    assert np.mean(right) >= 0.97
    assert time.process_time() - before < 25


def test_classify_vowels(backend, tmp_path):
    pytest.importorskip("sklearn")
    example = runpy.run_path(str(EXAMPLES / "classify_vowels.py"))
    write_vowels(tmp_path / "JapaneseVowels_TRAIN.ts", 90, 0)
    write_vowels(tmp_path / "JapaneseVowels_TEST.ts", 45, 1)
    assert example["main"](tmp_path) > 0.9


def test_classify_vowels_of_nine_men(vowels, tmp_path):
    """At least 0.97 on average over five seeds, with the estimator's defaults, and a picture."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("agg")
    example = runpy.run_path(str(EXAMPLES / "classify_vowels.py"))
    right = [example["main"](vowels, seed) for seed in range(4)]
    right.append(example["main"](vowels, 4, tmp_path / "vowels.png"))
    assert np.mean(right) >= 0.97
    assert (tmp_path / "vowels.png").stat().st_size > 10_000


def test_search_optuna():
    pytest.importorskip("sklearn")
    pytest.importorskip("optuna")
    example = runpy.run_path(str(EXAMPLES / "search_optuna.py"))
    parameters, right = example["main"](trials=5, count=120)
    assert set(parameters) == {"cell", "hidden_size", "learning_rate_init"}
    assert right > 0.85


def test_forecast_counts(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("agg")
    example = runpy.run_path(str(EXAMPLES / "forecast_counts.py"))
    test, week_before = example["main"](100, tmp_path / "counts.png", hidden_size=12, max_iter=8)
    assert test.predictions.shape == (20, 24)
    assert test.mae < 1.1 * week_before
    assert 0.75 <= test.coverage <= 0.99
    assert (tmp_path / "counts.png").stat().st_size > 10_000


def half_hours(days):
    """Demand as in vic_elec.csv, of which the temperature explains much."""
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(0)
    index = pandas.date_range("2013-10-07T13:00", periods=48 * days, freq="30min", tz="UTC")
    hour = np.arange(48 * days) % 48 / 2
    warm = 20 + 6 * np.sin((hour - 9) / 24 * 2 * np.pi) + generator.normal(0, 4, days).repeat(48)
    holiday = (generator.random(days) < 0.1).repeat(48)
    demand = 4500 + 60 * np.abs(warm - 18) + 800 * np.sin((hour - 6) / 24 * 2 * np.pi)
    demand = demand - 500 * holiday + generator.normal(0, 30, 48 * days)
    return pandas.DataFrame({"Demand": demand, "Temperature": warm, "Holiday": holiday}, index)


def test_forecast_demand(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("agg")
    frame = half_hours(120)
    example = runpy.run_path(str(EXAMPLES / "forecast_demand.py"))
    options = {"hidden_size": 16, "max_iter": 8, "stride": 5}
    test = example["main"](frame, picture=tmp_path / "demand.png", **options)
    assert set(frame.index[test.origins].tz_convert("Australia/Melbourne").hour) == {0}
    assert len(test.origins) == 35  # the days of 2014
    yesterday = frame["Demand"].to_numpy()[test.origins[:, None] + np.arange(48) - 48]
    assert test.mae < 0.7 * np.abs(test.actual - yesterday).mean()
    assert (tmp_path / "demand.png").stat().st_size > 10_000


@pytest.mark.long
def test_forecast_demand_of_victoria():
    """One day ahead, as the documents say: the error of 2014, and how often intervals hold."""
    pytest.importorskip("sklearn")
    pandas = pytest.importorskip("pandas")
    data = Path(pytest.importorskip("tsdata").__file__).parent / "fpp3" / "vic_elec.csv"
    frame = pandas.read_csv(data, index_col="Time", parse_dates=True)
    test = runpy.run_path(str(EXAMPLES / "forecast_demand.py"))["main"](frame)
    assert len(test.origins) == 365
    assert test.mae <= 175
    assert 0.85 <= test.coverage <= 0.95


def test_text_model(backend, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("to be, or not to be, that is the question\n" * 60)
    example = runpy.run_path(str(EXAMPLES / "text_model.py"))
    example["main"]([tmp_path / "a.txt"], tmp_path, hidden_size=32, steps=120)
    first, *written = capsys.readouterr().out.splitlines()
    assert float(first.removeprefix("bits per character: ")) < 2.5
    assert len("\n".join(written)) == 220
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.txt",
        "text.history.json",
        "text.safetensors",
    }


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
