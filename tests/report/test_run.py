"""Runs and their files: what is loaded from where, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn import report
from pyrnn.report.charts import charts
from pyrnn.text.character_model import CharacterModel
from tests.report.conftest import INJECTED

ALL = ["loss", "bits", "learning-rate", "gradient-norm", "saturation", "gates", "lag"]


def test_all_is_there(run: report.Run) -> None:
    assert run.name == "m"
    assert run.steps["step"].tolist() == list(range(1, 31))
    assert (run.steps["grad_norm"] > 0).all()
    assert run.steps["lr"][-1] < run.steps["lr"][20]
    assert len(run.scores) >= 3
    assert all(score["sample"] for score in run.scores)
    assert run.about["batch"] == 4
    assert [chart.name for chart in charts(run)] == ALL
    assert [finding.tracked for finding in run.findings] == [
        "quotes", "indentation", "brackets", "line length",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["m.history.json", "m.checkpoint.safetensors", "m.safetensors"])
def test_by_any_of_its_files(name: str, run: report.Run, folder: Path) -> None:
    other = report.load(str(folder / name))
    assert other.name == "m"
    assert other.text == run.text
    assert other.model is not None
    assert other.scores == run.scores


def test_a_part_is_enough(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "m.safetensors", tmp_path)
    alone = report.load(tmp_path / "m.safetensors")
    assert charts(alone) == []
    text = report.load(tmp_path / "m.safetensors", "def f(x):\n    return 'a'\n" * 40)
    assert [chart.name for chart in charts(text)] == ["gates", "lag"]
    shutil.copy(folder / "m.history.json", tmp_path / "n.history.json")
    (tmp_path / "m.safetensors").unlink()
    history = report.load(tmp_path / "n.history.json")
    assert history.model is None
    assert [chart.name for chart in charts(history)] == ALL[:5]
    assert "There is no history of this training" in text.html()
    assert "Nothing was recorded" in alone.html()
    assert len(text.plot().axes) == 2


def test_text_of_another_vocabulary() -> None:
    model = CharacterModel("abc", hidden_size=3, seed=0)
    assert report.Run("x", model=model, text="a?b!c").text == "abc"
    assert report.Run("x", model=CharacterModel("ab\ufffd"), text="a?").text == "a?"
    assert report.Run("x", model=model, text="???").states is None


def test_plot(run: report.Run) -> None:
    figure = run.plot()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == [chart.title for chart in charts(run)]


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "m.history.json").read_text())
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"pyrnn_history": 2},
        {"steps": {}},
        {"steps": 3},
        {"scores": [{}]},
        {"scores": [{"step": 1, "characters": 1, "bits": "x"}]},
        {"scores": [{"step": 1, "characters": 1, "bits": 1, "gates": {"i": [1, 2, 3]}}]},
        {"model": "../m.safetensors"},
        {"model": 3},
        {"scores": [3]},
        {"scores": [{"step": 1, "characters": 1, "bits": 1, "gates": [1]}]},
        {"about": 3},
    ],
)
def test_damaged_histories_are_one_line(
    change: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.history.json"
    path.write_text(json.dumps(document(folder) | change))
    with pytest.raises(report.RunFileError, match="expected the history of a run") as error:
        report.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
def test_other_files_are_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.history.json").write_bytes(data)
    with pytest.raises(report.RunFileError, match="expected the history of a run"):
        report.load(tmp_path / "m.history.json")


def test_refuses(tmp_path: Path) -> None:
    with pytest.raises(report.RunFileError, match="expected a model or the history of a run"):
        report.load(tmp_path / "m.safetensors")
    with pytest.raises(report.RunFileError, match="path"):
        report.load("")
    (tmp_path / "m.history.json").mkdir()
    with pytest.raises(report.RunFileError, match="cannot be read"):
        report.load(tmp_path / "m.history.json")


class TestPage:
    def test_nothing_of_a_run_becomes_markup(self, run: report.Run, page: str) -> None:
        assert INJECTED in run.text
        assert INJECTED not in page
        assert "<img" not in page
        assert "&lt;/pre&gt;&lt;script&gt;" in page
        assert page.count("<script") == 2

    def test_nothing_else_is_named(self, page: str) -> None:
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page
        assert "default-src &#39;none&#39;" in page

    def test_everything_has_a_name(self, page: str) -> None:
        for name in ALL:
            assert f'aria-labelledby="{name}-title {name}-summary"' in page
            assert page.count(f'id="{name}-summary"') == 1
        assert page.count(' role="img"') == len(ALL)
        assert '<html lang="en">' in page

    def test_odd_characters(self) -> None:
        odd = "\0\r\ud800\udc00\u202e<&>\"' `"
        model = CharacterModel(odd.replace("\udc00", ""), hidden_size=3, seed=0)
        page = report.Run(odd, model=model, text=odd * 60, about={odd: odd}).html()
        assert "\0" not in page
        assert "\r" not in page
        page.encode("utf-8", "xmlcharrefreplace")

    def test_many_units(self, monkeypatch: pytest.MonkeyPatch, run: report.Run) -> None:
        monkeypatch.setattr("pyrnn.report.page.SHOWN_UNITS", 6)
        page = run.html()
        assert page.count("<option") == 6
        assert "The model has more units" in page


def test_logger_of_a_trainer(tmp_path: Path) -> None:
    """Killed and gone on, it writes the same."""
    text = "abc\nabd\n" * 60

    def fit(epochs: int, place: Path) -> None:
        model = CharacterModel("abcd\n", "gru", 6, seed=0)
        trainer = pyrnn.Trainer(
            model,
            "cross_entropy",
            pyrnn.Adam(model.parameters, lr=0.02),
            clip_grad_norm=1.0,
            seed=0,
        )
        data = model.vocabulary.encode(text)
        callbacks = [
            pyrnn.callbacks.RunLogger(place / "m.history.json", text=text, prompt="ab"),
            pyrnn.callbacks.BackupAndRestore(place / "c.safetensors", delete_checkpoint=False),
        ]
        trainer.fit(data, data, epochs=epochs, batch_size=4, k1=16, callbacks=callbacks)
        pyrnn.save(model, place / "m.safetensors")

    for place, ends in (("whole", [4]), ("parts", [1, 3, 4])):
        (tmp_path / place).mkdir()
        for end in ends:
            fit(end, tmp_path / place)
    whole, parts = (tmp_path / place / "m.history.json" for place in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    run = report.load(tmp_path / "whole" / "m.safetensors")
    assert [chart.name for chart in charts(run)] == ALL
    assert len(run.scores) == 4
    assert run.scores[-1]["bits"] < run.scores[0]["bits"]
    assert (run.steps["grad_norm"] > 0).all()
    assert "nan" not in run.html()


def test_logger_of_another_model(tmp_path: Path) -> None:
    model = pyrnn.Sequential(pyrnn.GRU(2, 4, seed=0), pyrnn.LastStep())
    trainer = pyrnn.Trainer(model, "mse", pyrnn.Adam(model.parameters, lr=0.1))
    log = pyrnn.callbacks.RunLogger(tmp_path / "m.history.json")
    x, y = np.ones((6, 5, 2), np.float32), np.zeros((6, 4), np.float32)
    trainer.fit((x, y), epochs=3, callbacks=[log])
    pyrnn.save(model, tmp_path / "m.safetensors")
    run = report.load(tmp_path / "m.safetensors")
    assert [chart.name for chart in charts(run)] == ["loss", "learning-rate"]
    assert "nan" not in run.html()


def test_logger_refuses() -> None:
    with pytest.raises(TypeError, match="text: expected a string"):
        pyrnn.callbacks.RunLogger("h.json", text=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model_file: expected a string"):
        pyrnn.callbacks.RunLogger("h.json", 3)  # type: ignore[arg-type]
    model = CharacterModel("ab", hidden_size=3, seed=0)
    trainer = pyrnn.Trainer(model, "cross_entropy", pyrnn.Adam(model.parameters))
    log = pyrnn.callbacks.RunLogger("h.json", prompt="x")
    with pytest.raises(ValueError, match=r"prompt: expected characters .* got 'x'"):
        trainer.fit(np.arange(40) % 2, epochs=1, batch_size=2, callbacks=[log])
