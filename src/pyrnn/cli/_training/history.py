"""The history of a run, from which its report is made."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyrnn.cli._common.terminal import say
from pyrnn.cli._training import texts
from pyrnn.cli._training.run import Training
from pyrnn.report.recording import TEXT_MOST, Recording
from pyrnn.text.corpus import EncodedCorpus

NAME_MOST = 60


def recording(arguments: argparse.Namespace, corpus: EncodedCorpus, prompt: str) -> Recording:
    """The recording of a training for its report."""
    about = {
        "text": source(arguments),
        "optimizer": arguments.optimizer,
        "highest learning rate": arguments.lr,
        "batch": arguments.batch,
        "sequence length": arguments.seq_len,
        "clipped at": arguments.clip,
        "dtype": arguments.dtype,
        "seed": arguments.seed,
    }
    return Recording(about, corpus.vocabulary.decode(corpus.held_out[:TEXT_MOST]), prompt)


def source(arguments: argparse.Namespace) -> str:
    """The texts of a training, for titles."""
    if not arguments.files:
        return "the Python standard library"
    name = Path(arguments.files[0]).name
    name = "the standard input" if name == texts.STANDARD_INPUT else name
    name = name if len(name) <= NAME_MOST else f"{name[: NAME_MOST - 1]}…"
    return name if len(arguments.files) == 1 else f"{name} and {len(arguments.files) - 1} more"


def write(training: Training, path: Path, model: Path) -> None:
    """Write the history of the model file beside it; a failure is one line only."""
    try:
        if training.recording is not None:
            training.recording.write(path, model.name)
    except OSError as error:
        say(f"pyrnn: no history: {error.strerror or error}")
