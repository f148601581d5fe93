"""``pyrnn train``: train a character model on text, save it, and generate a sample."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyrnn._divergence import DivergenceError
from pyrnn.backend import selection
from pyrnn.cli import _memory, _picture, _progress
from pyrnn.cli._arguments import (
    SEEDS,
    SIZES,
    Subparsers,
    add_threads,
    check_native,
    file_name,
    number,
    use_threads,
    whole,
)
from pyrnn.cli._errors import UsageError
from pyrnn.cli._interrupt import NAMES, Ended, Interrupt
from pyrnn.cli._terminal import print_written
from pyrnn.cli._training import Settings, Training
from pyrnn.interop import serialization
from pyrnn.text import corpus as text
from pyrnn.text.character_model import CELLS, CharacterModel
from pyrnn.text.corpus import EncodedCorpus
from pyrnn.text.vocabulary import REPLACEMENT

DEFAULT_SECONDS = 45.0
"""Together with the start, evaluations and the sample, that is about a minute."""

MOST_STEPS = 2**63 - 1
MOST_SECONDS = 1e9
"""Some thirty years."""

SAMPLE_LENGTH = 400
SAMPLE_TEMPERATURE = 0.7
PROMPT_MOST = 40
PROMPT_FROM = 100_000
"""The prompt of the sample is a line from this many characters."""

TITLE_NAME_MOST = 60


class Outputs(NamedTuple):
    """The files that training writes."""

    model: Path
    picture: Path


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a character model on text",
        description="Train a character model on text, save it and generate a sample.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=file_name,
        metavar="FILE",
        help="text in UTF-8 (default: the source of the Python standard library)",
    )
    _add_model_options(parser)
    _add_training_options(parser)
    parser.add_argument(
        "--backend", choices=["native", "reference"], help="the compiled core, or NumPy (native)"
    )
    add_threads(parser)
    parser.add_argument(
        "--out",
        type=file_name,
        metavar="MODEL",
        help="file of the model; the picture goes beside it (pyrnn-<cell>.safetensors)",
    )
    parser.set_defaults(run=run)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cell", choices=list(CELLS), default="lstm", help="recurrent layer (lstm)")
    add(
        "--hidden",
        type=whole(1, SIZES),
        default=256,
        metavar="N",
        help="units of a recurrent layer (256)",
    )
    add(
        "--layers",
        type=whole(1, SIZES),
        default=1,
        metavar="N",
        help="recurrent layers, stacked (1)",
    )
    add("--dtype", choices=["float32", "float64"], default="float32", help="(float32)")
    add(
        "--seed",
        type=whole(0, SEEDS),
        default=0,
        metavar="N",
        help="seed of weights and sample (0)",
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    add, positive = parser.add_argument, number(0.0, above=True)
    add(
        "--seq-len",
        type=whole(1, SIZES),
        default=32,
        metavar="T",
        help="time steps in a chunk (32)",
    )
    add(
        "--batch",
        type=whole(1, SIZES),
        default=16,
        metavar="N",
        help="streams of text side by side (16)",
    )
    add(
        "--steps",
        type=whole(1, MOST_STEPS),
        metavar="N",
        help="training steps (as many as --time allows)",
    )
    time_help = f"seconds to train ({DEFAULT_SECONDS:g}; with --steps no limit)"
    add("--time", type=number(0.0, MOST_SECONDS, above=True), metavar="S", help=time_help)
    add(
        "--lr",
        type=positive,
        default=4e-3,
        metavar="X",
        help="highest learning rate of Adam (0.004)",
    )
    add("--clip", type=positive, default=1.0, metavar="X", help="largest norm of the gradients (1)")


def run(arguments: argparse.Namespace) -> int:
    """Train, save, score, write, draw."""
    files = arguments.files or text.standard_library()
    outputs = _outputs(arguments, files)
    _memory.check_text(files)
    corpus = text.load(files)
    with _computing(arguments):
        training = _training(arguments, corpus)
        print(_introduction(training, corpus), flush=True)
        with Interrupt() as interrupt:
            _train(training, outputs.model, interrupt)
        if interrupt.requested:
            print(f"{NAMES[interrupt.requested]} after step {training.step}", flush=True)
            if interrupt.requested != signal.SIGINT:
                raise Ended(interrupt.requested)
        bits = training.evaluate()
        _print_sample(training.model, _prompt(arguments, corpus), arguments.seed)
    print(f"held-out  {bits:.3f} bits per character over {len(corpus.held_out):,} characters")
    print(f"model     {outputs.model}", flush=True)
    if _draw(training, _title(training.model, arguments), outputs.picture):
        print(f"picture   {outputs.picture}")
    return 0


def _train(training: Training, path: Path, interrupt: Interrupt) -> None:
    """Train, and save the model however training ended, unless it diverged."""
    try:
        with _progress.display(training) as show:
            training.run(show, lambda: bool(interrupt.requested))
    except DivergenceError:
        raise
    except Exception:
        # The output for progress was closed, or memory ran out.
        if training.step:
            _save(training, path)
        raise
    _save(training, path)


def _outputs(arguments: argparse.Namespace, files: Sequence[str | Path]) -> Outputs:
    """Return the files to write, after a check that they can be written."""
    name = f"pyrnn-{arguments.cell}.safetensors" if arguments.out is None else arguments.out
    model = Path(name)
    picture = model.with_suffix(".png") if model.suffix == ".safetensors" else Path(f"{name}.png")
    for path in (model, picture):
        with _writing(path):
            serialization.check_writable(path)
        if any(os.path.exists(file) and _same(file, path) for file in files):
            raise UsageError(f"--out: expected another file than the text to train on, got {path}")
    return Outputs(model, picture)


def _save(training: Training, path: Path) -> None:
    training.check()
    try:
        with _writing(path):
            serialization.save(training.model, path)
    except UsageError as error:
        other = _save_elsewhere(training.model)
        if other is None:
            raise
        raise UsageError(f"{error}; the model is in {str(other)!r} instead") from error


def _save_elsewhere(model: CharacterModel) -> Path | None:
    """Save a model in another folder that has room, so that its training is not lost."""
    name = f"pyrnn-{model.cell}-{secrets.token_hex(4)}.safetensors"
    for folder in (tempfile.gettempdir, Path.home, Path.cwd):
        with contextlib.suppress(OSError, RuntimeError):  # there may be no such folder
            path = Path(folder()) / name
            serialization.save(model, path)
            return path
    return None


def _draw(training: Training, title: str, path: Path) -> bool:
    """Save the picture; a failure is one line only, because nothing else depends on it."""
    try:
        serialization.write_atomically(path, _picture.draw(training, title))
    except (Exception, SystemExit) as error:  # whatever an installation of matplotlib may do
        reason = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
        print(f"pyrnn: no picture: {reason}", file=sys.stderr)
        return False
    return True


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an error of the operating system about a file into one line about ``--out``."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"--out: cannot write {str(path)!r} ({error.strerror or error})"
        ) from error


def _same(first: str | Path, second: Path) -> bool:
    return second.exists() and os.path.samefile(first, second)


@contextlib.contextmanager
def _computing(arguments: argparse.Namespace) -> Iterator[None]:
    """Use the backend and the number of threads of the arguments."""
    if arguments.backend == "native":
        check_native("--backend")
    name: Any = arguments.backend or selection.current().name
    with selection.use_backend(name), use_threads(arguments.threads):
        yield


def _training(arguments: argparse.Namespace, corpus: EncodedCorpus) -> Training:
    """Make the training of a model on its text, after all checks."""
    shortest = arguments.batch * arguments.seq_len + 1
    if len(corpus.train) < shortest:
        raise UsageError(
            f"text: expected at least {shortest:,} characters to train on for --batch "
            f"{arguments.batch} and --seq-len {arguments.seq_len}, got {len(corpus.train):,}"
        )
    _memory.check(arguments, len(corpus.vocabulary))
    try:
        model = CharacterModel(
            corpus.vocabulary,
            arguments.cell,
            arguments.hidden,
            arguments.layers,
            dtype=arguments.dtype,
            seed=arguments.seed,
        )
    except ValueError as error:
        raise UsageError(f"--hidden: expected a size that fits into memory; {error}") from error
    seconds = arguments.time
    if seconds is None and arguments.steps is None:
        seconds = DEFAULT_SECONDS
    return Training(
        model,
        corpus.train,
        corpus.held_out,
        Settings(
            arguments.batch,
            arguments.seq_len,
            arguments.lr,
            arguments.clip,
            arguments.steps,
            seconds,
            arguments.seed,
        ),
    )


def _size(model: CharacterModel) -> str:
    layers = f"{model.rnn.num_layers} × " if model.rnn.num_layers > 1 else ""
    return f"{model.cell.upper()} {layers}{model.rnn.hidden_size}"


def _introduction(training: Training, corpus: EncodedCorpus) -> str:
    model = training.model
    return (
        f"{_size(model)}, {model.num_parameters:,} parameters, {model.dtype}, "
        f"{selection.current().name}; {len(corpus.train):,} characters to train on, "
        f"{len(corpus.held_out):,} held out, {len(model.vocabulary)} different ones"
    )


def _title(model: CharacterModel, arguments: argparse.Namespace) -> str:
    source = "the Python standard library"
    if arguments.files:
        name = _shortened(Path(arguments.files[0]).name)
        source = (
            name if len(arguments.files) == 1 else f"{name} and {len(arguments.files) - 1} more"
        )
    return (
        f"{_size(model)} on {source}: batch {arguments.batch}, sequence {arguments.seq_len}, "
        f"learning rate {arguments.lr:g}, {model.dtype}"
    )


def _shortened(name: str) -> str:
    return name if len(name) <= TITLE_NAME_MOST else f"{name[: TITLE_NAME_MOST - 1]}…"


def _prompt(arguments: argparse.Namespace, corpus: EncodedCorpus) -> str:
    """Return the prompt of the sample: the start of a function, or of the user's text.

    That is the first line that has known characters only, or any single known character.
    """
    vocabulary = corpus.vocabulary
    if not arguments.files and set("def ") <= set(vocabulary.characters):
        return "def "
    beginning = vocabulary.decode(corpus.train[:PROMPT_FROM])
    for line in beginning.lstrip().split("\n"):
        prompt = line[:PROMPT_MOST]
        if prompt.strip() and REPLACEMENT not in prompt:
            return prompt
    return vocabulary.characters.replace(REPLACEMENT, "")[0]


def _print_sample(model: CharacterModel, prompt: str, seed: int) -> None:
    written = model.sample(prompt, SAMPLE_LENGTH, SAMPLE_TEMPERATURE, seed)
    print_written(f"\n{prompt}{written}\n")
