"""``pyrnn train``: what it writes, that it repeats, how it ends and what it refuses."""

import errno
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrnn import CharacterModel
from pyrnn.backend import selection
from pyrnn.cli import train
from pyrnn.interop import serialization
from pyrnn.text import corpus as text_module
from pyrnn.text._model_parts import CELLS
from pyrnn.text.vocabulary import REPLACEMENT

SMALL = ("--hidden", 8, "--seq-len", 10, "--batch", 4)
QUICK = (*SMALL, "--steps", 6)
PNG = b"\x89PNG\r\n\x1a\n"


class TestResult:
    @pytest.mark.parametrize("cell", CELLS)
    def test_model_picture_and_sample(self, cell: str, text: Path, run: Any, backend: str) -> None:
        result = run("train", text, "--cell", cell, "--layers", 2, *QUICK)
        assert result.status == 0
        assert result.err == ""
        model = serialization.load_character_model(f"pyrnn-{cell}.safetensors")
        assert model.cell == cell
        assert (model.rnn.hidden_size, model.rnn.num_layers) == (8, 2)
        assert Path(f"pyrnn-{cell}.png").read_bytes().startswith(PNG)
        assert f", {backend};" in result.out
        *_, held_out, saved, picture = result.out.splitlines()
        held = text_module.split([text.read_text(encoding="utf-8")]).held_out
        bits = model.bits_per_character(model.vocabulary.encode(held))
        assert held_out == f"held-out  {bits:.3f} bits per character over {len(held)} characters"
        assert saved.split() == ["model", f"pyrnn-{cell}.safetensors"]
        assert picture.split() == ["picture", f"pyrnn-{cell}.png"]

    def test_sample_is_that_of_the_model(self, text: Path, run: Any) -> None:
        result = run("train", text, *QUICK, "--seed", 5)
        model = serialization.load_character_model("pyrnn-lstm.safetensors")
        first_line = text.read_text(encoding="utf-8").split("\n")[0].strip()
        written = model.sample(first_line, train.SAMPLE_LENGTH, train.SAMPLE_TEMPERATURE, 5)
        assert f"\n{first_line}{written}\n" in result.out

    def test_progress_lines(self, text: Path, run: Any) -> None:
        lines = [x for x in run("train", text, *QUICK).out.splitlines() if " step " in x]
        assert [line.split("%")[0].strip() for line in lines] == [
            "17",
            "33",
            "50",
            "67",
            "83",
            "100",
        ]
        for line in lines:
            assert " bits " in line
            assert " left " in line
            assert len(line) <= 80
        assert " best " in lines[-1]

    def test_learns(self, text: Path, run: Any, backend: str) -> None:
        arguments = ("--hidden", 32, "--seq-len", 20, "--batch", 8, "--lr", 0.02)
        result = run("train", text, *arguments, "--steps", 240)
        bits = float(result.out.split("held-out  ")[1].split()[0])
        # One of five lines after the other: log2(5) bits for some twelve characters are 0.2.
        assert bits < 0.6

    def test_options_reach_the_model(self, text: Path, run: Any) -> None:
        run("train", text, *QUICK, "--dtype", "float64", "--out", "some.model")
        model = serialization.load_character_model("some.model")
        assert model.dtype == np.float64
        assert Path("some.model.png").exists()

    def test_several_files(self, text: Path, run: Any) -> None:
        Path("other.txt").write_text("0123456789\n" * 50, encoding="utf-8")
        assert run("train", text, "other.txt", *QUICK).status == 0
        model = serialization.load_character_model("pyrnn-lstm.safetensors")
        assert set("0123456789é") <= set(model.vocabulary.characters)

    def test_time_ends_it(self, text: Path, run: Any) -> None:
        result = run("train", text, *SMALL, "--time", 0.2)
        assert result.status == 0
        assert "100%" in result.out

    def test_steps_and_time_the_nearer_ends(self, text: Path, run: Any) -> None:
        assert run("train", text, *QUICK, "--time", 1000).status == 0
        assert run("train", text, *SMALL, "--steps", 10**9, "--time", 0.1).status == 0

    def test_standard_library_without_files(
        self, text: Path, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pyrnn.text.corpus.standard_library", lambda: [text])
        result = run("train", *QUICK)
        assert result.status == 0
        assert "\n\ndef " in result.out

    def test_backend_option(self, text: Path, run: Any, fails: Any, monkeypatch: Any) -> None:
        assert ", reference;" in run("train", text, *QUICK, "--backend", "reference").out
        monkeypatch.setattr(selection, "available", lambda: ("reference",))
        message = fails("train", text, *QUICK, "--backend", "native", "--out", "other")
        assert message.startswith("--backend: expected the compiled core, but it is missing")
        assert not Path("other").exists()

    def test_overwrites_its_own_file(self, text: Path, run: Any) -> None:
        for hidden in (4, 5):
            assert run("train", text, *QUICK, "--hidden", hidden).status == 0
        model = serialization.load_character_model("pyrnn-lstm.safetensors")
        assert model.rnn.hidden_size == 5
        assert sorted(os.listdir()) == [
            "pyrnn-lstm.history.json",
            "pyrnn-lstm.png",
            "pyrnn-lstm.safetensors",
            "text.py",
        ]


class TestRepeats:
    def test_bit_for_bit(self, text: Path, run: Any, backend: str) -> None:
        outputs, files = [], []
        for name in ("a", "b"):
            out = run("train", text, *QUICK, "--seed", 3, "--out", f"{name}.safetensors").out
            outputs.append(out.split("100%")[1].split("\n", 1)[1].split("held-out")[0])
            files.append(Path(f"{name}.safetensors").read_bytes())
        assert files[0] == files[1]
        assert outputs[0] == outputs[1]

    def test_another_seed(self, text: Path, run: Any) -> None:
        files = []
        for seed in (3, 4):
            run("train", text, *QUICK, "--seed", seed)
            files.append(Path("pyrnn-lstm.safetensors").read_bytes())
        assert files[0] != files[1]

    def test_threads_do_not_matter(self, text: Path, run: Any) -> None:
        files = []
        for threads in (1, 2):
            run("train", text, *QUICK, "--threads", threads)
            files.append(Path("pyrnn-lstm.safetensors").read_bytes())
        assert files[0] == files[1]


class TestInterrupt:
    @pytest.mark.skipif(os.name == "nt", reason="needs SIGINT for another process")
    def test_control_c(self, text: Path, start: Callable[..., Any]) -> None:
        process = start("train", text, *SMALL, "--time", 600)
        try:
            for line in process.stdout:
                if " step " in line:
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 0
        assert err == ""
        assert "interrupted after step " in out
        first_line = text.read_text(encoding="utf-8").split("\n")[0].strip()
        sample = out.split(f"\n\n{first_line}")[1].split("\n\nheld-out  ")[0]
        assert len(sample) == train.SAMPLE_LENGTH
        model = serialization.load_character_model("pyrnn-lstm.safetensors")
        assert len(model.sample("def", 10)) == 10
        assert Path("pyrnn-lstm.png").read_bytes().startswith(PNG)

    def test_control_c_in_a_step_and_again_after_it(
        self, text: Path, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def press(*arguments: Any) -> float:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            return 1.0  # the norm

        with monkeypatch.context() as patch:
            patch.setattr("pyrnn.cli._training.run.clip_grad_norm", press)
            result = run("train", text, *SMALL, "--time", 600)
        assert result.status == 0
        assert "interrupted after step 1\n" in result.out
        os.remove("pyrnn-lstm.safetensors")
        monkeypatch.setattr("pyrnn.cli._training.picture.draw", press)
        assert run("train", text, *QUICK).status == 130
        assert serialization.load("pyrnn-lstm.safetensors")


class TestRefused:
    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--hidden", "0", "expected a whole number of at least 1, got '0'"),
            ("--hidden", "-3", "expected a whole number of at least 1, got '-3'"),
            ("--hidden", "many", "expected a whole number of at least 1, got 'many'"),
            ("--hidden", "1.5", "expected a whole number of at least 1, got '1.5'"),
            ("--layers", "0", "expected a whole number of at least 1, got '0'"),
            ("--seq-len", "0", "expected a whole number of at least 1, got '0'"),
            ("--batch", "0", "expected a whole number of at least 1, got '0'"),
            ("--steps", "0", "expected a whole number of at least 1, got '0'"),
            ("--threads", "0", "expected a whole number of at least 1, got '0'"),
            ("--seed", "-1", "expected a whole number of at least 0, got '-1'"),
            ("--time", "0", "expected a number above 0, got '0'"),
            ("--time", "inf", "expected a number above 0, got 'inf'"),
            ("--lr", "0", "expected a number above 0, got '0'"),
            ("--lr", "nan", "expected a number above 0, got 'nan'"),
            ("--clip", "-1", "expected a number above 0, got '-1'"),
            ("--cell", "elman", "invalid choice: 'elman'"),
            ("--dtype", "float16", "invalid choice: 'float16'"),
            ("--backend", "cuda", "invalid choice: 'cuda'"),
        ],
    )
    def test_option(self, option: str, value: str, message: str, text: Path, fails: Any) -> None:
        assert fails("train", text, option, value).startswith(f"argument {option}: {message}")
        assert os.listdir() == ["text.py"]

    def test_unknown_option(self, text: Path, fails: Any) -> None:
        assert fails("train", text, "--epoch-s", "3") == "unrecognized arguments: --epoch-s 3"

    def test_too_large(self, text: Path, fails: Any) -> None:
        for sizes in [("--hidden", 10**6), ("--layers", 10**9)]:
            message = fails("train", text, *sizes)
            assert message.startswith("--hidden, --layers, --batch, --seq-len: expected sizes that")
        assert os.listdir() == ["text.py"]

    def test_too_large_for_a_machine_that_hides_its_memory(
        self, text: Path, fails: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("pyrnn.cli._training.memory._total", lambda: None)
        message = fails("train", text, "--hidden", 10**6)
        assert message.startswith("--hidden: expected a size that fits into memory; weight_")

    def test_out_of_memory(self, text: Path, fails: Any, monkeypatch: Any) -> None:
        def fail(*arguments: object, **options: object) -> None:
            raise MemoryError

        monkeypatch.setattr(train, "CharacterModel", fail)
        assert fails("train", text).startswith(
            "expected sizes that fit into memory; lower --hidden"
        )

    def test_text(self, text: Path, fails: Any) -> None:
        Path("empty.txt").touch()
        Path("latin.txt").write_bytes(b"caf\xe9")
        assert fails("train", "nowhere.txt").startswith("nowhere.txt: cannot be read")
        Path("folder").mkdir()
        assert fails("train", "folder") == "folder: expected text files, found none"
        assert fails("train", "empty.txt") == "empty.txt: expected text, got an empty file"
        assert "expected text in UTF-8, got 0xe9 at byte 3" in fails("train", text, "latin.txt")

    def test_text_shorter_than_a_window(self, text: Path, fails: Any) -> None:
        Path("short.txt").write_text("x" * 100, encoding="utf-8")
        assert fails("train", "short.txt", "--batch", 5, "--seq-len", 20) == (
            "text: expected at least 101 characters to train on for --batch 5 and --seq-len 20, "
            "got 95"
        )
        Path("tiny.txt").write_text("ab", encoding="utf-8")
        assert fails("train", "tiny.txt") == "text: expected at least 4 characters, got 2"

    def test_no_standard_library(self, text: Path, fails: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("sysconfig.get_path", lambda name: str(text.parent / "python.zip"))
        assert "expected the source of the standard library" in fails("train", *QUICK)

    @pytest.mark.parametrize(
        ("out", "reason"),
        [
            ("nowhere/model.safetensors", "there is no folder"),
            ("text.py/model.safetensors", "there is no folder"),
            (".", "it is a folder"),
            (os.devnull, "it is no regular file"),
            ("x" * 300, "too long"),
        ],
    )
    def test_out_that_cannot_be_written(
        self, out: str, reason: str, text: Path, fails: Any, monkeypatch: Any
    ) -> None:
        # Found before anything is read or trained.
        monkeypatch.setattr("pyrnn.text.corpus.read", lambda path: pytest.fail("it went on"))
        message = fails("train", text, "--out", out)
        assert message.startswith("--out: cannot write")
        assert reason in message
        assert os.listdir() == ["text.py"]

    def test_picture_that_cannot_be_written(self, text: Path, fails: Any) -> None:
        Path("model.png").mkdir()
        message = fails("train", text, *QUICK, "--out", "model.safetensors")
        assert message == "--out: cannot write 'model.png' (it is a folder)"

    def test_out_over_the_text(self, text: Path, fails: Any) -> None:
        before = text.read_bytes()
        message = fails("train", text, *QUICK, "--out", "./text.py")
        assert message == "--out: expected another file than the text to train on, got text.py"
        assert text.read_bytes() == before


class TestGoodFileSurvives:
    @pytest.fixture
    def good(self, text: Path, run: Any) -> bytes:
        assert run("train", text, *QUICK).status == 0
        return Path("pyrnn-lstm.safetensors").read_bytes()

    @pytest.fixture
    def unchanged(self, good: bytes) -> Callable[[], bool]:
        names = sorted(os.listdir())

        def check() -> bool:
            return (
                Path("pyrnn-lstm.safetensors").read_bytes() == good
                and sorted(os.listdir()) == names
            )

        return check

    def test_divergence(self, text: Path, fails: Any, unchanged: Any, backend: str) -> None:
        message = fails("train", text, *QUICK, "--lr", 1e300)
        assert message.startswith(
            "--lr: expected a rate at which training converges, got 1e+300: the loss became"
        )
        assert unchanged()

    def test_divergence_in_the_last_step(
        self, text: Path, fails: Any, unchanged: Any, backend: str
    ) -> None:
        message = fails("train", text, *SMALL, "--steps", 1, "--lr", 1e300, "--clip", 1e30)
        assert message.startswith("--lr: expected a rate at which training converges, got 1e+300")
        assert unchanged()

    def test_full_disk(self, text: Path, fails: Any, unchanged: Any, monkeypatch: Any) -> None:
        """No folder has room."""

        def fail(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        message = fails("train", text, *QUICK)
        assert message == ("--out: cannot write 'pyrnn-lstm.safetensors' (No space left on device)")
        assert unchanged()

    def test_a_disk_that_becomes_full_does_not_cost_the_training(
        self, text: Path, fails: Any, unchanged: Any, tmp_path: Path, monkeypatch: Any
    ) -> None:
        rooms = {
            name: tmp_path.parent / f"{tmp_path.name}-{name}" for name in ("temporary", "home")
        }
        for room in rooms.values():
            room.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(rooms["temporary"]))
        monkeypatch.setattr(Path, "home", lambda: rooms["home"])
        full, fsync = [tmp_path], os.fsync

        def fail(descriptor: int) -> None:
            if Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent in full:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", fail)
        for room in rooms.values():
            message = fails("train", text, *QUICK, "--seed", 3)
            (saved,) = room.iterdir()
            assert message == (
                "--out: cannot write 'pyrnn-lstm.safetensors' (No space left on device); "
                f"the model is in {str(saved)!r} instead"
            )
            assert isinstance(serialization.load(saved), CharacterModel)
            assert unchanged()
            full.append(room)

    def test_wrong_argument(self, text: Path, fails: Any, unchanged: Any) -> None:
        fails("train", text, "--hidden", "0")
        fails("train", "nowhere.txt")
        assert unchanged()

    @pytest.mark.parametrize("cell", CELLS)
    @pytest.mark.parametrize("steps", [1, 12])
    def test_worse_than_a_guess(
        self, cell: str, steps: int, text: Path, fails: Any, unchanged: Any
    ) -> None:
        out = ("--out", "pyrnn-lstm.safetensors", "--force")
        message = fails("train", text, *SMALL, "--cell", cell, "--steps", steps, "--lr", 50, *out)
        assert message.startswith(
            "--lr: expected a rate at which training converges, got 50: it ended with"
        )
        assert unchanged()

    def test_a_rate_that_changes_nothing_is_no_divergence(self, text: Path, run: Any) -> None:
        for cell in CELLS:
            assert run("train", text, *QUICK, "--cell", cell, "--lr", 1e-12).status == 0


class TestPrompt:
    def test_is_the_first_line_that_the_model_knows(self, tmp_path: Path, run: Any) -> None:
        path = tmp_path / "text.txt"
        rare = "".join(map(chr, range(0x4E00, 0x4E00 + 30)))
        path.write_text(f"  {rare} a\n\n   \na known line\n" + "ab c\n" * 60_000, encoding="utf-8")
        result = run("train", path, *QUICK, "--out", tmp_path / "m.safetensors")
        assert result.status == 0
        # "k", "n", "o", "w", "l", "i", "e" are rare as well.
        assert "\n\nab c" in result.out
        assert REPLACEMENT not in result.out

    def test_is_any_character_if_no_line_is_known(self, tmp_path: Path, run: Any) -> None:
        path = tmp_path / "text.txt"
        path.write_text(("a" * 30 + REPLACEMENT + "a\n") * 5000, encoding="utf-8")
        result = run("train", path, *QUICK, "--out", tmp_path / "m.safetensors")
        assert result.status == 0
        assert REPLACEMENT not in result.out

    def test_without_characters_to_learn(self, tmp_path: Path, fails: Any) -> None:
        path = tmp_path / "text.txt"
        path.write_text(REPLACEMENT * 5000, encoding="utf-8")
        out = tmp_path / "m.safetensors"
        message = fails("train", path, *QUICK, "--out", out)
        assert message.startswith("text: expected characters that make up 1e-05 of it or more")
        assert not out.exists()
