"""What is measured, as data: the grid of cells and shapes."""

from __future__ import annotations

from dataclasses import dataclass

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
"""Cells, and how many rows of weights each has for one hidden unit."""

TRAINING_SHAPES = [
    (25, 1, 65, 100),
    (50, 32, 65, 128),
    (100, 32, 64, 256),
    (200, 16, 8, 32),
    (1000, 1, 1, 40),
    (35, 20, 650, 650),
    (128, 64, 512, 512),
    (64, 128, 1024, 1024),
]
"""(T, N, I, H): time steps, batch, input size, hidden size."""

STEP_SHAPES = [
    (1, 1, 1, 20),
    (1, 1, 1, 40),
    (1, 1, 64, 64),
    (1, 1, 128, 128),
    (1, 1, 256, 256),
    (1, 1, 512, 512),
    (1, 1, 1024, 1024),
]

SEQUENCE_SHAPES = [
    (100, 1, 64, 64),
    (100, 1, 256, 256),
    (100, 1, 512, 512),
    (100, 32, 64, 64),
    (100, 32, 256, 256),
    (35, 20, 650, 650),
]

COMPUTE_SHAPE = (64, 128, 1024, 1024)

GROWTH_BASE = (64, 16, 64, 128)
"""Of T, N and H one doubles, the others stay here."""

TRAINING, INFERENCE, COMPUTE = "training", "inference", "compute"


@dataclass(frozen=True)
class Case:
    """One row of the grid: a float32 layer of one cell and one shape, trained or run."""

    section: str
    training: bool
    cell: str
    time_steps: int
    batch_size: int
    input_size: int
    hidden_size: int

    @property
    def shape(self) -> str:
        """``T25 N1 I65 H100``."""
        sizes = (self.time_steps, self.batch_size, self.input_size, self.hidden_size)
        return " ".join(f"{letter}{size}" for letter, size in zip("TNIH", sizes, strict=True))

    @property
    def name(self) -> str:
        """What ``--only`` looks at: ``training LSTM T25 N1 I65 H100``."""
        task = "" if self.section != COMPUTE else "training " if self.training else "inference "
        return f"{self.section} {task}{self.cell} {self.shape}"

    @property
    def is_step(self) -> bool:
        """Whether it is one step of a stream, with a state that goes in and out."""
        return not self.training and self.time_steps == 1

    @property
    def operations(self) -> int:
        """Floating-point operations of the products: backward costs twice as much as forward."""
        rows = GATES[self.cell] * self.hidden_size
        forward = 2 * self.time_steps * self.batch_size * rows
        forward *= self.input_size + self.hidden_size
        return 3 * forward if self.training else forward


def grid() -> list[Case]:
    """Every row: training, inference, and the shape that arithmetic alone should bound."""
    training = [Case(TRAINING, True, cell, *s) for cell in GATES for s in TRAINING_SHAPES]
    inference = [
        Case(INFERENCE, False, cell, *s) for cell in GATES for s in STEP_SHAPES + SEQUENCE_SHAPES
    ]
    compute = [Case(COMPUTE, training, "LSTM", *COMPUTE_SHAPE) for training in (True, False)]
    return training + inference + compute


def quick_grid() -> list[Case]:
    """A few small rows that touch every way of computing."""
    return [
        Case(TRAINING, True, "RNN", 25, 1, 65, 100),
        Case(INFERENCE, False, "LSTM", 1, 1, 1, 40),
        Case(INFERENCE, False, "GRU", 100, 32, 64, 64),
        Case(COMPUTE, False, "LSTM", 16, 64, 256, 256),
    ]
