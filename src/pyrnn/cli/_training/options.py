"""The options of ``pyrnn train``: of the model, of the training, of checkpoints."""

from __future__ import annotations

import argparse

from pyrnn.cli._common.arguments import SEEDS, SIZES, file_name, number, whole
from pyrnn.cli._training.settings import OPTIMIZERS, SCHEDULES
from pyrnn.text._model_parts import CELLS
from pyrnn.text.encoders import MIN_COUNT, VOCAB_SIZE

DEFAULT_SECONDS = 45.0
"""Together with the start, evaluations and the sample, this takes about a minute."""

MOST_STEPS = 2**63 - 1
MOST_SECONDS = 1e9
"""About thirty years."""


def add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of checkpoints."""
    add = parser.add_argument
    add("--force", action="store_true", help="overwrite an existing output or checkpoint")
    add(
        "--checkpoint-every",
        type=whole(1, MOST_STEPS),
        metavar="N",
        help="steps between two checkpoints for --resume, written beside the output (never)",
    )
    add(
        "--resume",
        type=file_name,
        metavar="CHECKPOINT",
        help="continue a run; all other arguments are in its checkpoint",
    )


def add_token_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is read and written one by one."""
    add = parser.add_argument
    add(
        "--tokens",
        type=file_name,
        default="characters",
        metavar="TOKENS",
        help="characters, bytes, words, or a file of the package tokenizers (characters)",
    )
    add(
        "--vocab-size",
        type=whole(2, SIZES),
        metavar="N",
        help=f"for words: size of the vocabulary, the unknown word included ({VOCAB_SIZE})",
    )
    add(
        "--min-count",
        type=whole(1, SIZES),
        metavar="N",
        help=f"for words: how often a word must occur in the text ({MIN_COUNT})",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the model."""
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
    add(
        "--dropout",
        type=number(0.0, 1.0),
        default=0.0,
        metavar="P",
        help="dropout between layers, with --layers 2 or more (0)",
    )
    add(
        "--embedding",
        type=whole(1, SIZES),
        metavar="N",
        help="features of each token (one-hot)",
    )
    add("--dtype", choices=["float32", "float64"], default="float32", help="(float32)")
    add(
        "--seed",
        type=whole(0, SEEDS),
        default=0,
        metavar="N",
        help="seed of weights and sample (0)",
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    add, positive = parser.add_argument, number(0.0, above=True)
    add(
        "--seq-len",
        type=whole(1, SIZES),
        default=32,
        metavar="T",
        help="time steps in a chunk; each training step takes one chunk (32)",
    )
    add(
        "--k1",
        type=whole(1, SIZES),
        dest="seq_len",
        default=argparse.SUPPRESS,
        metavar="T",
        help="another name of --seq-len",
    )
    add(
        "--k2",
        type=whole(1, SIZES),
        metavar="T",
        help="time steps that gradients flow back, a multiple of --seq-len (--seq-len)",
    )
    add(
        "--batch",
        type=whole(1, SIZES),
        default=16,
        metavar="N",
        help="streams of text side by side: the batch size (16)",
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
    add("--epochs", type=whole(1, MOST_STEPS), metavar="N", help="how many times to read the text")
    add("--optimizer", choices=list(OPTIMIZERS), default="adam", help="(adam)")
    add(
        "--schedule",
        choices=list(SCHEDULES),
        default="linear",
        help="of the learning rate, after it has risen (linear)",
    )
    add("--val", type=file_name, metavar="FILE", help="text to score on (the end of each text)")
    add("--keep", choices=["best", "last"], default="last", help="which model is saved (last)")
    add(
        "--patience",
        type=whole(1, MOST_STEPS),
        metavar="N",
        help="stop after N scores without an improvement (a run has 8, or one per epoch)",
    )
    add("--log", type=file_name, metavar="FILE", help="write each score as a line of JSON")
    precision_help = "of products: float32, or bfloat16 with sums of float32 (float32)"
    add("--precision", choices=["float32", "bf16"], default="float32", help=precision_help)
    add("--clip", type=positive, default=1.0, metavar="X", help="largest norm of the gradients (1)")
