"""``pyrnn train``: train a character model on text, save it, and generate a sample."""

from __future__ import annotations

import argparse
import contextlib
import math
import secrets
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyrnn._files import shown
from pyrnn._imports import extras
from pyrnn.backend import selection
from pyrnn.backend.threads import get_num_threads
from pyrnn.cli import report
from pyrnn.cli._common.arguments import (
    Subparsers,
    add_threads,
    check_native,
    file_name,
    use_threads,
)
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import NAMES, Ended, Interrupt
from pyrnn.cli._common.outputs import check_apart, is_same
from pyrnn.cli._common.terminal import print_written, say
from pyrnn.cli._training import history, log, memory, picture, progress, several, texts, tokens
from pyrnn.cli._training.options import (
    DEFAULT_SECONDS,
    MOST_STEPS,
    add_checkpoint_options,
    add_model_options,
    add_token_options,
    add_training_options,
)
from pyrnn.cli._training.resuming import Keeper, Resumed, path_beside
from pyrnn.cli._training.run import Training
from pyrnn.cli._training.settings import EVALUATIONS, Settings
from pyrnn.distributed.launch import Machine
from pyrnn.distributed.ranks import Ranks, on_all_ranks
from pyrnn.interop import serialization
from pyrnn.text import cache, preparation
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.corpus import EncodedCorpus, standard_library
from pyrnn.text.encoders import Encoder
from pyrnn.text.preparation import Source
from pyrnn.training.divergence import DivergenceError

SAMPLE_LENGTH = 400
SAMPLE_TEMPERATURE = 0.7


class Outputs(NamedTuple):
    """The files that training writes."""

    model: Path
    picture: Path
    history: Path
    report: Path
    tokens: Path | None


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a character model on text",
        description="Train a model of characters, bytes or words on text, save it and generate a "
        "sample.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=file_name,
        metavar="FILE",
        help="text in UTF-8: files, folders, patterns, or - for the standard input (default: the "
        "source of the Python standard library)",
    )
    add_token_options(parser)
    add_model_options(parser)
    add_training_options(parser)
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
    add_checkpoint_options(parser)
    parser.add_argument(
        "--report", action="store_true", help="write a report of the run, one page of HTML"
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, save, score, write, draw."""
    ranks = several.started()
    with several.together(ranks), contextlib.ExitStack() as stack:
        machine = several.machine(ranks)
        prepared = several.in_turn(
            ranks, machine, lambda: _prepare(arguments, ranks, machine, stack)
        )
        several.check_same(ranks, prepared.arguments, prepared.texts, prepared.training)
        return _run(prepared, ranks)


class Prepared(NamedTuple):
    """Everything a run needs before its first step."""

    arguments: argparse.Namespace
    outputs: Outputs
    texts: Sequence[Source]
    corpus: EncodedCorpus
    training: Training
    keeper: Keeper | None


def _prepare(
    arguments: argparse.Namespace,
    ranks: Ranks | None,
    machine: Machine | None,
    stack: contextlib.ExitStack,
) -> Prepared:
    """Check everything, read the texts, make the model; without an exchange with other ranks."""
    resumed = None
    if arguments.report:
        extras.require("report", "jinja2", "matplotlib")
    if arguments.resume is not None:
        resumed = Resumed(arguments.resume, arguments, arguments.parser.get_default)
        arguments = resumed.arguments
    else:
        arguments.files = texts.expand(arguments.files)
    several.check_batch(arguments, ranks)
    several.check_files(arguments, ranks)
    files = arguments.files or standard_library()
    held_out = [arguments.val] if arguments.val is not None else []
    others = [*held_out, *tokens.files(arguments.tokens)]
    outputs = _outputs(arguments, [*files, *others], resumed, ranks is None or ranks.is_first)
    memory.check_text(held_out)
    if resumed is not None:
        resumed.check_sizes([*files, *others])
    encoder = tokens.encoder(arguments)
    prepared = _prepared(files, encoder, outputs, resumed is not None)
    read = [*prepared.sources, *map(texts.read_again, others)]
    if resumed is not None:
        resumed.check_texts(read)
    corpus, characters = texts.corpus_of(prepared, arguments.val)
    threads = arguments.threads
    if threads is None and machine is not None:
        threads = machine.threads
    stack.enter_context(_computing(arguments, threads))
    training = _training(arguments, corpus, characters, ranks)
    training.recording = history.recording(arguments, corpus, tokens.prompt(arguments, corpus))
    if resumed is not None:
        resumed.restore(training)
    keeper = None
    if arguments.checkpoint_every is not None:
        keeper = Keeper(training, arguments, read, outputs.model)
    return Prepared(arguments, outputs, read, corpus, training, keeper)


def _run(prepared: Prepared, ranks: Ranks | None) -> int:
    """Train, and write the results; of several ranks, only rank 0 writes."""
    arguments, outputs, _, corpus, training, keeper = prepared
    print(_introduction(training, corpus, ranks), flush=True)
    with Interrupt() as interrupt:
        _train(training, outputs, interrupt, keeper, arguments, ranks)
    requested = several.signal_of(ranks, interrupt.requested)
    if requested:
        print(f"{NAMES[requested]} after step {training.step}", flush=True)
        if requested != signal.SIGINT:
            with on_all_ranks:
                raise Ended(requested)
    if training.settings.keep == "last":
        training.finish()
    if not training.is_first:
        return 0
    bits = training.final_bits
    _print_sample(training.model, tokens.prompt(arguments, corpus), arguments.seed)
    print(tokens.score(training, bits, corpus))
    print(f"model     {shown(outputs.model)}", flush=True)
    if _draw(training, _title(training.model, arguments), outputs.picture):
        print(f"picture   {shown(outputs.picture)}")
    history.write(training, outputs.history, outputs.model)  # once more, with the last score
    if arguments.report:
        report.write(outputs.model, outputs.report)
        print(f"report    {shown(outputs.report)}")
    return 0


def _train(
    training: Training,
    outputs: Outputs,
    interrupt: Interrupt,
    keeper: Keeper | None,
    arguments: argparse.Namespace,
    ranks: Ranks | None,
) -> None:
    """Train, and save the model however training ended, unless it diverged."""

    def save() -> None:
        if keeper is not None and training.step % arguments.checkpoint_every == 0:
            keeper.save()

    try:
        if keeper is not None and not training.step:
            keeper.save()  # so that a checkpoint exists from the beginning
        with progress.display(training) as show:
            training.run(show, lambda: bool(interrupt.requested), save)
        if keeper is not None:
            keeper.save()
        if training.settings.keep == "best":
            training.finish()
    except DivergenceError:
        raise
    except Exception:
        # The output for progress was closed, or memory ran out.
        if training.step:
            _save(training, outputs)
        raise
    with several.agreed(ranks):
        _save(training, outputs)


def _outputs(
    arguments: argparse.Namespace,
    files: Sequence[str | Path],
    resumed: Resumed | None,
    is_first: bool,
) -> Outputs:
    """Return the files to write, after a check that they can be written.

    A file that ``--out`` names, or a checkpoint, is overwritten only by the run that wrote it, or
    with ``--force``. Of several ranks, each writes the cache of its texts, and rank 0 the others.
    """
    name = f"pyrnn-{arguments.cell}.safetensors" if arguments.out is None else arguments.out
    model = Path(name)
    stem = model.with_suffix("") if model.suffix == ".safetensors" else model
    drawn, recorded, page = (Path(f"{stem}{e}") for e in (".png", ".history.json", ".report.html"))
    if arguments.dropout and arguments.layers == 1:
        raise UsageError("--dropout: expected --layers 2 or more with it, got 1")
    if arguments.precision == "bf16" and arguments.dtype != "float32":
        raise UsageError(f"--precision: expected float32 with --dtype {arguments.dtype}, got bf16")
    if arguments.k2 is not None and arguments.k2 % arguments.seq_len:
        raise UsageError(
            f"--k2: expected a multiple of --seq-len {arguments.seq_len}, got {arguments.k2}"
        )
    checkpoint = path_beside(model)
    checkpoints = [checkpoint] if arguments.checkpoint_every is not None and is_first else []
    cached = texts.cache_beside(model) if texts.are_cached(arguments.files) else None
    outputs = Outputs(model, drawn, recorded, page, cached)
    written = [*filter(None, outputs if is_first else [cached]), *checkpoints]
    for path in written:
        with _writing(path):
            serialization.check_writable(path)
        if any(is_same(file, path) for file in files):
            raise UsageError(
                f"--out: expected another file than the text to train on, got {shown(path)}"
            )
    check_apart("--out", written)
    if arguments.log is not None and is_first:
        log.check(arguments.log, [*files, *filter(None, outputs), checkpoint])
    if resumed is not None or arguments.force:
        return outputs
    if cached is not None and not cache.is_ours(cached):
        raise UsageError(f"--out: {str(cached)!r} is there already; --force overwrites it")
    named = arguments.out is not None and is_first
    beside = [drawn, recorded, *([page] if arguments.report else [])]
    mine, others = ([model], beside) if named else ([], [])
    for path in (*mine, *checkpoints, *others):
        if path.exists():
            goes_on = f"--resume {checkpoint} continues it, " if path == checkpoint else ""
            raise UsageError(
                f"--out: {str(path)!r} is there already; {goes_on}--force overwrites it"
            )
    return outputs


def _save(training: Training, outputs: Outputs) -> None:
    if not training.is_first:
        return
    training.check()
    path = outputs.model
    try:
        with _writing(path):
            serialization.save(training.model, path)
    except UsageError as error:
        other = _save_elsewhere(training.model)
        if other is None:
            raise
        raise UsageError(f"{error}; the model is in {str(other)!r} instead") from error
    history.write(training, outputs.history, path)


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
        serialization.write_atomically(path, picture.draw(training, title))
    except (
        Exception,
        SystemExit,
    ) as error:  # a broken installation of matplotlib may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
        say(f"pyrnn: no picture: {reason}")
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


@contextlib.contextmanager
def _computing(arguments: argparse.Namespace, threads: int | None) -> Iterator[None]:
    """Use the backend and the number of threads of the arguments."""
    if arguments.backend == "native":
        check_native("--backend")
    name: Any = arguments.backend or selection.current().name
    with selection.use_backend(name), use_threads(threads):
        yield


def _training(
    arguments: argparse.Namespace, corpus: EncodedCorpus, characters: int, ranks: Ranks | None
) -> Training:
    """Make the training of a model on its text, after all checks; the held-out characters."""
    shortest = arguments.batch * arguments.seq_len + 1
    if len(corpus.train) < shortest:
        raise UsageError(
            f"text: expected at least {shortest:,} {corpus.vocabulary.units} to train on for "
            f"--batch {arguments.batch} and --seq-len {arguments.seq_len}, got "
            f"{len(corpus.train):,}"
        )
    memory.check(arguments, len(corpus.vocabulary))
    try:
        model = CharacterModel(
            corpus.vocabulary,
            arguments.cell,
            arguments.hidden,
            arguments.layers,
            arguments.embedding,
            arguments.dropout,
            dtype=arguments.dtype,
            seed=arguments.seed,
        )
    except ValueError as error:
        raise UsageError(f"--hidden: expected a size that fits into memory; {error}") from error
    seconds, steps, evaluations = arguments.time, arguments.steps, EVALUATIONS
    if arguments.epochs is not None:
        in_epoch = math.ceil((len(corpus.train) - 1) // arguments.batch / arguments.seq_len)
        steps = min(steps or MOST_STEPS, arguments.epochs * in_epoch)
        evaluations = max(1, round(steps / in_epoch))
    if seconds is None and steps is None:
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
            steps,
            seconds,
            arguments.seed,
            arguments.optimizer,
            evaluations,
            arguments.keep,
            arguments.patience,
            arguments.log,
            arguments.schedule,
            arguments.k2,
            arguments.precision,
        ),
        ranks,
        characters / len(corpus.held_out),
    )


def _prepared(
    files: Sequence[str | Path], encoder: Encoder, outputs: Outputs, resumed: bool
) -> preparation.Prepared:
    """Read the texts, or find them read."""
    path = outputs.tokens
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(texts.progress())
        if path is not None:
            stack.enter_context(_writing(path))
        prepared = texts.prepare(files, encoder, path, resumed, report)
    if path is not None:
        print(f"text      {shown(path)}", flush=True)
    return prepared


def _size(model: CharacterModel) -> str:
    layers = f"{model.rnn.num_layers} × " if model.rnn.num_layers > 1 else ""
    return f"{model.cell.upper()} {layers}{model.rnn.hidden_size}"


def _introduction(training: Training, corpus: EncodedCorpus, ranks: Ranks | None) -> str:
    model = training.model
    several_ranks = ""
    if ranks is not None:
        count = get_num_threads()
        several_ranks = f"; {ranks.count} ranks of {count} thread{'s' if count > 1 else ''}"
    return (
        f"{_size(model)}, {model.num_parameters:,} parameters, {model.dtype}, "
        f"{selection.current().name}; {len(corpus.train):,} {corpus.vocabulary.units} to train on, "
        f"{len(corpus.held_out):,} held out, {len(model.vocabulary)} different ones{several_ranks}"
    )


def _title(model: CharacterModel, arguments: argparse.Namespace) -> str:
    return (
        f"{_size(model)} on {history.source(arguments)}: batch {arguments.batch}, "
        f"sequence {arguments.seq_len}, learning rate {arguments.lr:g}, {model.dtype}"
    )


def _print_sample(model: CharacterModel, prompt: str, seed: int) -> None:
    written = model.sample(prompt, SAMPLE_LENGTH, SAMPLE_TEMPERATURE, seed)
    print_written(f"\n{prompt}{written}\n")
