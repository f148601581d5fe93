"""Signals that ask ``pyrnn`` to end, whenever they come: what was learned is saved."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from pyrnn.cli import sample
from pyrnn.cli._common import plotting
from pyrnn.cli._common.interrupt import NAMES, Ended, Interrupt, deferred, ended_by_signals
from pyrnn.interop import serialization

SMALL = ("--hidden", 8, "--seq-len", 10, "--batch", 4)
QUICK = (*SMALL, "--steps", 8)
MODEL = "pyrnn-lstm.safetensors"
HISTORY = "pyrnn-lstm.history.json"

each_signal = pytest.mark.parametrize("number", list(NAMES))


def once(number: int, function: Any, times: int = 2) -> Callable[..., Any]:
    """The function, which raises a signal (twice in a row) when it is first called."""
    called = []

    def call(*arguments: Any, **options: Any) -> Any:
        if not called:
            called.append(1)
            for _ in range(times):
                signal.raise_signal(number)
        return function(*arguments, **options)

    return call


@each_signal
@pytest.mark.parametrize(
    "place", ["pyrnn.text.preparation.blocks", "pyrnn.cli._training.memory.check"]
)
def test_before_training_nothing_is_saved(
    number: int, place: str, text: Path, run: Any, monkeypatch: Any
) -> None:
    function = resolve_name(place)
    monkeypatch.setattr(place, once(number, function))
    assert run("train", text, *QUICK) == (128 + number, "", f"pyrnn: {NAMES[number]}\n")
    assert os.listdir() == ["text.py"]


@each_signal
@pytest.mark.parametrize(
    "place",
    [
        "pyrnn.cli._training.run.clip_grad_norm",
        "pyrnn.training.optimizers.Adam.step",
        "pyrnn.interop.serialization.save",
        "pyrnn.cli.train.Training.check",
    ],
)
def test_while_training_or_saving(
    number: int, place: str, text: Path, run: Any, monkeypatch: Any
) -> None:
    function = resolve_name(place)
    monkeypatch.setattr(place, once(number, function))
    result = run("train", text, *QUICK)
    assert f"\n{NAMES[number]} after step " in result.out
    assert serialization.load(MODEL)
    if number == signal.SIGINT:  # all the rest follows
        assert result.status == 0
        assert "\nheld-out  " in result.out
        assert sorted(os.listdir()) == [HISTORY, "pyrnn-lstm.png", MODEL, "text.py"]
    else:
        assert (result.status, result.err) == (128 + number, f"pyrnn: {NAMES[number]}\n")
        assert sorted(os.listdir()) == [HISTORY, MODEL, "text.py"]


@each_signal
@pytest.mark.parametrize(
    "place",
    [
        "pyrnn.cli._training.run.bits_per_token",
        "pyrnn.text.character_model.CharacterModel.sample",
        "pyrnn.cli._training.picture.draw",
    ],
)
def test_after_saving_the_rest_is_skipped(
    number: int, place: str, text: Path, run: Any, monkeypatch: Any
) -> None:
    function = resolve_name(place)
    monkeypatch.setattr(place, once(number, function))
    # Two steps: too few for a score on the way.
    monkeypatch.setattr("pyrnn.cli.train.EVALUATIONS", 1)
    result = run("train", text, *SMALL, "--steps", 2)
    assert (result.status, result.err) == (128 + number, f"pyrnn: {NAMES[number]}\n")
    assert serialization.load(MODEL)
    assert sorted(os.listdir()) == [HISTORY, MODEL, "text.py"]


@each_signal
def test_a_scoring_on_the_way_ends(number: int, text: Path, run: Any, monkeypatch: Any) -> None:
    from pyrnn.text.evaluation import softmax_cross_entropy

    monkeypatch.setattr("pyrnn.text.evaluation.EVALUATION_STEPS", 4)
    monkeypatch.setattr("pyrnn.text.evaluation.EVALUATION_STREAMS", 1)
    scored = []

    def score(*arguments: Any, **options: Any) -> Any:
        if not scored:
            signal.raise_signal(number)
        scored.append(1)
        return softmax_cross_entropy(*arguments, **options)

    monkeypatch.setattr("pyrnn.text.evaluation.softmax_cross_entropy", score)
    result = run("train", text, *QUICK)
    assert f"\n{NAMES[number]} after step 1\n" in result.out
    assert serialization.load(MODEL)
    # One chunk; after Ctrl-C, also the score at the end, of some 75 chunks.
    assert len(scored) == 1 or number == signal.SIGINT


@each_signal
def test_other_commands_end_at_once(number: int, run: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("pyrnn.cli._comparison._time", once(number, lambda *_: None))
    assert run("compare").status == 128 + number


@each_signal
def test_amid_the_imports_of_the_picture(
    number: int, text: Path, run: Any, monkeypatch: Any
) -> None:
    # What a compiled module makes of an exception during its import.
    def load() -> None:
        try:
            signal.raise_signal(number)
        except BaseException as error:
            raise ImportError("initialization failed") from error

    real = plotting._import_all
    monkeypatch.setattr(plotting, "_import_all", lambda: (load(), real()))
    result = run("train", text, *QUICK)
    assert (result.status, result.err) == (128 + number, f"pyrnn: {NAMES[number]}\n")


@each_signal
def test_amid_the_imports_of_loading(number: int, text: Path, run: Any, monkeypatch: Any) -> None:
    assert run("train", text, *QUICK).status == 0
    real = sample.load_character_model

    def load(path: str) -> Any:
        signal.raise_signal(number)
        loaded.append(real(path))
        return loaded[0]

    loaded: list[Any] = []
    monkeypatch.setattr(sample, "load_character_model", load)
    assert run("sample", MODEL) == (128 + number, "", f"pyrnn: {NAMES[number]}\n")
    assert loaded


@each_signal
def test_an_import_that_turns_it_into_another_error(
    number: int, run: Any, monkeypatch: Any
) -> None:
    def load() -> None:
        try:
            signal.raise_signal(number)
        except BaseException as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("pyrnn.backend.threads.build_info", load)
    assert run("info") == (128 + number, "", f"pyrnn: {NAMES[number]}\n")


class TestInterrupt:
    @each_signal
    def test_the_first_counts(self, number: int) -> None:
        before = signal.getsignal(number)
        with Interrupt() as interrupt:
            signal.raise_signal(number)
            signal.raise_signal(signal.SIGINT)
            assert interrupt.requested == number
        assert signal.getsignal(number) is before

    @each_signal
    def test_deferred_until_the_end_of_a_block(self, number: int) -> None:
        done = []

        def work() -> None:
            with deferred():
                signal.raise_signal(number)
                done.append(1)

        with pytest.raises(Ended) as caught:
            work()
        assert done
        assert caught.value.number == number

    @each_signal
    def test_what_is_ignored_stays_so(self, number: int) -> None:
        before = signal.signal(number, signal.SIG_IGN)
        try:
            with ended_by_signals(), Interrupt() as interrupt:
                signal.raise_signal(number)
                assert not interrupt.requested
        finally:
            signal.signal(number, before)

    @each_signal
    def test_only_the_first_raises(self, number: int) -> None:
        before = signal.getsignal(number)
        with ended_by_signals():
            with pytest.raises(Ended):
                signal.raise_signal(number)
            signal.raise_signal(number)
        assert signal.getsignal(number) is before


@pytest.mark.skipif(os.name == "nt", reason="needs signals for another process")
class TestProcess:
    @pytest.mark.parametrize("module", ["numpy", "pyrnn.interop.conversion"])
    def test_amid_the_first_imports(self, module: str, start: Any) -> None:
        code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pyrnn.cli import main
class Once:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r} and self in sys.meta_path:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
assert {module!r} not in sys.modules
sys.meta_path.insert(0, Once())
sys.exit(main(["info"]))
"""
        process = start(code=code)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, "", "pyrnn: interrupted\n")

    def end(self, process: Any, number: int, wait: Callable[[Any], None]) -> tuple[str, str]:
        try:
            wait(process)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        return str(out), str(err)

    @pytest.mark.parametrize("number", [n for n in NAMES if n != signal.SIGINT])
    def test_saves(self, number: int, text: Path, start: Any) -> None:
        def until_trained(process: Any) -> None:
            next(line for line in process.stdout if " step " in line)

        process = start("train", text, *SMALL, "--time", 600)
        out, err = self.end(process, number, until_trained)
        assert (process.returncode, err) == (128 + number, f"pyrnn: {NAMES[number]}\n")
        assert f"{NAMES[number]} after step " in out
        assert len(serialization.load_character_model(MODEL).sample("def", 10)) == 10

    @pytest.mark.long
    @each_signal
    @pytest.mark.parametrize("twice", [False, True])
    def test_at_any_time(self, number: int, twice: bool, text: Path, start: Any) -> None:
        for part in range(24):

            def after_a_while(process: Any, part: int = part) -> None:
                next(process.stdout)  # the introduction: handlers are there
                time.sleep(0.05 * part)
                if twice:
                    process.send_signal(number)

            process = start("train", text, *SMALL, "--time", 0.3)
            out, err = self.end(process, number, after_a_while)
            assert process.returncode in (0, 128 + number, -number), err
            assert "Traceback" not in err
            assert not [name for name in os.listdir() if name.endswith(".tmp")]
            if " after step " in out:
                assert serialization.load_character_model(MODEL)
