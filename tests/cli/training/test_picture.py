"""The picture of a training: it comes last, needs no configuration, and fails in one line."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from pyrnn.cli._training import picture
from pyrnn.cli._training.run import Point, Training
from pyrnn.cli._training.settings import Settings
from pyrnn.interop import serialization
from pyrnn.text.character_model import CharacterModel

QUICK = ("--hidden", 8, "--seq-len", 10, "--batch", 4, "--steps", 6)
INLINE = "module://matplotlib_inline.backend_inline"


@pytest.fixture
def training() -> Training:
    """A training of three steps that is done."""
    text = np.random.default_rng(0).integers(4, size=500)
    model = CharacterModel("abcd", "rnn", 3, seed=0)
    training = Training(model, text, text[:50], Settings(4, 5, 0.01, 1.0, 3, None))
    training.run(lambda: None, lambda: False)
    training.evaluate()
    return training


def shape(picture: bytes) -> tuple[int, ...]:
    return tuple(matplotlib.image.imread(io.BytesIO(picture), format="png").shape)


class TestDraw:
    def test_one_step_without_a_score_and_a_long_title(self, training: Training) -> None:
        del training.losses[1:], training.scores[:]
        assert shape(picture.draw(training, "long " * 50)) == (675, 1200, 4)

    def test_smooth_keeps_means(self) -> None:
        points = [Point(n, float(n % 2)) for n in range(1, 201)]
        smooth = picture._smooth(points)
        assert [p.characters for p in smooth] == list(range(4, 201, 4))
        assert {p.bits for p in smooth} == {0.5}

    @pytest.mark.parametrize(
        "title",
        [
            "$",
            "$x_{",
            r"$\frac$ 1$",
            "a_b^c%d#e&f~{}\\",
            "\udcff\n\0\t\x1b[31m",
            "汉字 😀 \u202e",
            "",
        ],
    )
    def test_any_title(self, title: str, training: Training) -> None:
        assert shape(picture.draw(training, title)) == (675, 1200, 4)

    def test_settings_of_the_process_do_not_matter(self, training: Training) -> None:
        usual = picture.draw(training, "a title")
        settings: dict[str, Any] = {
            "text.usetex": True,
            "font.size": 30,
            "figure.facecolor": "black",
            "savefig.bbox": "tight",
            "savefig.dpi": 20,
            "axes.formatter.use_mathtext": True,
        }
        with matplotlib.rc_context(settings):
            assert picture.draw(training, "a title") == usual
            assert matplotlib.rcParams["font.size"] == 30


@pytest.mark.skipif(os.name == "nt", reason="needs folders as POSIX has them")
@pytest.mark.parametrize("kind", ["backend", "broken settings", "no place for a cache"])
def test_configuration(
    kind: str, text: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "backend":
        monkeypatch.setenv("MPLBACKEND", INLINE)
    elif kind == "broken settings":
        for path in (Path("matplotlibrc"), Path("other")):
            path.write_bytes(b"text.usetex: True\nno.such: 1\nfont.size: \xff\n")
        monkeypatch.setenv("MATPLOTLIBRC", "other")
        monkeypatch.setenv("MPLBACKEND", "no such backend")
    else:
        monkeypatch.setenv("MPLCONFIGDIR", str(text))  # a file
        monkeypatch.setenv("HOME", os.devnull)
    process = start("train", text, *QUICK, "--out", "m.safetensors")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("\npicture   m.png\n")
    assert shape(Path("m.png").read_bytes()) == (675, 1200, 4)


class TestFailure:
    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("two\nlines"),
            ImportError("no such library"),
            SystemExit("away"),
            MemoryError(),
            OSError(28, "No space left on device"),
        ],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize(
        "place", ["matplotlib.figure.Figure.savefig", "pyrnn.cli._common.plotting._import"]
    )
    def test_is_one_line_and_the_last(
        self, place: str, error: BaseException, text: Path, run: Any, monkeypatch: Any
    ) -> None:
        def fail(*arguments: Any, **options: Any) -> None:
            raise error

        monkeypatch.setattr(place, fail)
        result = run("train", text, *QUICK)
        assert result.status == 0
        assert result.err.startswith(f"pyrnn: no picture: {type(error).__name__}")
        assert result.err.count("\n") == 1
        *_, held_out, model = result.out.splitlines()
        assert held_out.startswith("held-out  ")
        assert model == "model     pyrnn-lstm.safetensors"
        assert serialization.load("pyrnn-lstm.safetensors")
        assert sorted(os.listdir()) == [
            "pyrnn-lstm.history.json",
            "pyrnn-lstm.safetensors",
            "text.py",
        ]

    def test_of_the_import(self, text: Path, start: Any) -> None:
        code = (
            "import sys, importlib.abc, pyrnn.cli\n"
            "class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
            "    def find_spec(self, name, path, target=None):\n"
            "        from importlib.machinery import ModuleSpec\n"
            "        return ModuleSpec(name, self) if name == 'matplotlib' else None\n"
            "    def create_module(self, spec): return None\n"
            "    def exec_module(self, module): sys.exit(3)\n"
            "sys.meta_path.insert(0, Broken())\n"
            "sys.exit(pyrnn.cli.main(sys.argv[1:]))"
        )
        process = start("train", text, *QUICK, code=code)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "pyrnn: no picture: SystemExit: 3\n")
        assert serialization.load("pyrnn-lstm.safetensors")


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are any bytes")
@pytest.mark.parametrize("name", ["$x_{.txt", "a\nb.txt", "\udcff.txt", "x" * 240 + ".txt"])
def test_any_name_of_a_file(name: str, text: Path, run: Any) -> None:
    text.rename(name)
    result = run("train", name, *QUICK, "--out", f"{name[:200]}.safetensors")
    assert (result.status, result.err) == (0, "")
    assert Path(f"{name[:200]}.png").exists()
