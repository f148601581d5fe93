"""The training loop of ``pyrnn train``: chunks with carried state, a schedule, a history."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn._types import Array
from pyrnn.cli._training import log
from pyrnn.cli._training.settings import OPTIMIZERS, SCHEDULES, WARM_UP_STEPS, Settings
from pyrnn.distributed import shares
from pyrnn.distributed.exchange import GradientSum
from pyrnn.distributed.ranks import Ranks, join, on_all_ranks, weighted
from pyrnn.layers import _finished
from pyrnn.report.recording import Recording
from pyrnn.text.batches import AnyIndices, streams
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.evaluation import bits as bits_per_token
from pyrnn.text.evaluation import nats_of
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.clipping import clip_grad_norm
from pyrnn.training.divergence import (
    JUDGED,
    DivergenceError,
    check_loss,
    check_weights,
    worse_than_a_guess,
)
from pyrnn.training.losses import softmax_cross_entropy
from pyrnn.training.run._memory_maps import Columns
from pyrnn.training.run.batches import Window, rows_of

SMOOTHING_STEPS = 20
"""The time constant, in steps, of the moving average of the displayed loss."""


class Point(NamedTuple):
    """A score of the model after a number of characters, in bits per character."""

    characters: int
    bits: float


class _Stopped(Exception):  # noqa: N818 - a request, not an error
    """A signal ended an evaluation."""


class Training:
    """One training run over a text: its state and its measurements so far.

    The learning rate rises over the first steps and then follows the schedule to the end of the
    steps or of the time, whichever is nearer: a straight line to 0. Only the time of the steps
    counts.

    Of several ranks, each reads some of the streams; all else is the same on all of them, the time
    as well, which is rank 0's.

    All scores are per character. Of other tokens ``characters_per_token`` is the mean length, over
    the held-out text, which those of the training text are divided by too.
    """

    def __init__(
        self,
        model: CharacterModel,
        text: AnyIndices,
        held_out: AnyIndices,
        settings: Settings,
        ranks: Ranks | None = None,
        characters_per_token: float = 1.0,
    ) -> None:
        self.model = model
        self.settings = settings
        self.characters_per_token = characters_per_token
        self.step = 0
        self.seconds = 0.0
        self.tokens = 0
        self.losses: list[Point] = []
        self.scores: list[Point] = []
        self.smoothed = math.nan
        self.final_bits = math.nan
        self.best: tuple[float, dict[str, Array]] | None = None
        self.waited = 0
        self._held_out = held_out
        self._read = 0
        window = Window(settings.seq_len, settings.k2 or settings.seq_len)
        self._window = window
        self._states: deque[Any] = deque(maxlen=window.k2 // window.k1)
        self._steps = len(streams(text, settings.batch_size)[0])
        self._columns = Columns(rows_of(text, settings.batch_size))
        self._ranks = ranks
        self._sum: GradientSum | None = None
        self._own = self._columns
        self._stop_asked = False
        self._busy = 0.0
        if ranks is not None:
            mine = shares.neighbours(settings.batch_size, ranks.rank, ranks.count)
            self._own = self._columns.of_rows(mine)
            self._set_generator([model.rnn._generator.bit_generator.state])
        self._decay = SCHEDULES[settings.schedule]
        kind = OPTIMIZERS[settings.optimizer]
        self._optimizer: Optimizer = kind(model.parameters, lr=settings.lr)
        self.recording: Recording | None = None
        if settings.precision == "bf16":
            model.train(compute="bfloat16")

    @property
    def progress(self) -> float:
        """The finished part of the run, from 0 to 1."""
        shares = []
        if self.settings.steps is not None:
            shares.append(self.step / self.settings.steps)
        if self.settings.seconds is not None:
            shares.append(self.seconds / self.settings.seconds)
        return min(1.0, max(shares))

    @property
    def characters(self) -> int:
        """The number of characters that were read; of other tokens their mean length counts."""
        return round(self.tokens * self.characters_per_token)

    @property
    def epoch(self) -> int:
        """The number of the current pass through the text, from 1 on."""
        return max(1, math.ceil(self.tokens / (self._steps * self.settings.batch_size)))

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return self._optimizer.lr

    @property
    def characters_per_second(self) -> float:
        """The mean speed of training so far."""
        return self.characters / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        """The remaining time at this speed."""
        progress = self.progress
        return self.seconds * (1 - progress) / progress if progress else math.inf

    @property
    def ended(self) -> bool:
        """Whether all steps are done, or the patience has run out."""
        patience = self.settings.patience
        return self.progress >= 1 or (patience is not None and self.waited >= patience)

    def run(
        self,
        show: Callable[[], None],
        stop: Callable[[], bool],
        save: Callable[[], None] = lambda: None,
    ) -> None:
        """Train until the end or until ``stop()``.

        ``show()`` is called after every step, ``save()`` once the step's evaluation is done too.
        """
        if self.ended:
            return
        with self._summing() as self._sum:
            self._run(show, stop, save)

    def _run(
        self, show: Callable[[], None], stop: Callable[[], bool], save: Callable[[], None]
    ) -> None:
        for x, y, state in self._batches():
            # No warnings of overflow, because the loss is checked.
            with np.errstate(over="ignore", invalid="ignore"):
                self._step(x, y, state, stop)
            show()
            if self.progress >= 1 or self._is_to_stop(stop):
                return
            if self.progress * self.settings.evaluations >= len(self.scores) + 1:
                try:
                    self.evaluate(stop if self._ranks is None else lambda: False)
                except _Stopped:
                    return
                if self.ended:
                    return
            save()

    def finish(self) -> None:
        """Score the model; if the best one is kept, return to its weights and score."""
        self.final_bits = self.evaluate()
        if self.settings.keep == "best" and self.best is not None:
            self.final_bits, weights = self.best
            self.model.parameters.update(weights)

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to continue with the same bits."""
        return {
            "model": dict(self.model.parameters),
            "optimizer": self._optimizer.state_dict(),
            **self._of_all_ranks(),
            "counts": [self.step, self.tokens, self._read, self.waited],
            "seconds": self.seconds,
            "smoothed": self.smoothed,
            "losses": np.array(self.losses, np.float64).reshape(-1, 2),
            "scores": np.array(self.scores, np.float64).reshape(-1, 2),
            "best": None if self.best is None else list(self.best),
            "recording": None if self.recording is None else self.recording.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` of such a training returned."""
        names = set(self.model.parameters)
        if set(state["model"]) != names:
            raise ValueError("expected the parameters of the model")
        self._optimizer.load_state_dict(state["optimizer"])
        self.model.parameters.update(state["model"])
        self._set_generator(state.get("generators", [state["generator"]]))
        last = [] if state["state"] is None else [state["state"]]
        self._states.clear()
        self._states.extend(map(self._own_state, state.get("states", last)))
        self.step, self.tokens, self._read, self.waited = state["counts"]
        self.seconds, self.smoothed = float(state["seconds"]), float(state["smoothed"])
        self._busy = self.seconds
        self.losses = [Point(int(n), float(bits)) for n, bits in state["losses"]]
        self.scores = [Point(int(n), float(bits)) for n, bits in state["scores"]]
        self.best = None if state["best"] is None else (state["best"][0], state["best"][1])
        if self.recording is not None and state.get("recording") is not None:
            self.recording.load_state_dict(state["recording"])

    def fingerprint(self) -> str:
        """A hash of the model and of how far its training is."""
        found = hashlib.sha256(repr((self.step, self.tokens, self._read)).encode())
        for array in self.model.parameters.values():
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def check(self) -> None:
        """Raise `DivergenceError` if training left the model worse than a guess.

        That is, if some weights are not finite, or if the model predicts the latest text worse than
        a uniform distribution over the characters and worse than the untrained model did.
        """
        check_weights("--lr", self.settings.lr, self.model.parameters.values())
        reason = worse_than_a_guess(
            self._recent_bits(self.model),
            len(self.model.vocabulary),
            lambda: self._recent_bits(self._untrained()),
        )
        if reason:
            unit = self.model.vocabulary.unit
            raise DivergenceError("--lr", self.settings.lr, f"it ended with {reason}, per {unit}")

    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> float:
        """Score the held-out text, in bits per character; `_Stopped` if ``stop()``."""

        def look() -> None:
            if stop():
                raise _Stopped

        with np.errstate(over="ignore", invalid="ignore"):
            if self._ranks is None:
                bits = bits_per_token(self.model, self._held_out, look)
            else:
                bits = self._bits_of_all_ranks(self._ranks)
        bits /= self.characters_per_token
        self.scores.append(Point(self.characters, bits))
        self._log(bits)
        if self.recording is not None and self.is_first:
            self.recording.score(self.step, self.characters, bits, self.model)
        self.waited += 1
        if self.best is None or bits < self.best[0]:
            kept = self.model.parameters if self.settings.keep == "best" else {}
            self.best = bits, {name: array.copy() for name, array in kept.items()}
            self.waited = 0
        return bits

    def _log(self, bits: float) -> None:
        """Add a line to the log."""
        if self.settings.log is None or not self.is_first:
            return
        line = {"step": self.step, "characters": self.characters, "seconds": self.seconds}
        line |= {"bits": self.smoothed, "held_out": bits, "lr": self._optimizer.lr}
        log.append(self.settings.log, line)

    def _recent_bits(self, model: CharacterModel) -> float:
        """Return how well the model predicts the last characters, starting from a zero state."""
        steps = max(self.settings.seq_len, JUDGED // self.settings.batch_size)
        start = max(0, self._read - steps)
        x, y = self._stretch(self._columns, start, start + steps)
        with np.errstate(over="ignore", invalid="ignore"):
            logits, _ = model(x)
            loss, _ = softmax_cross_entropy(logits, y)
        return loss / math.log(2)

    def _untrained(self) -> CharacterModel:
        model, layer = self.model, self.model.rnn
        return CharacterModel(
            model.vocabulary,
            model.cell,
            layer.hidden_size,
            layer.num_layers,
            model.embedding_dim,
            dtype=model.dtype,
            seed=self.settings.seed,
        )

    def _batches(self) -> Iterator[tuple[AnyIndices, AnyIndices, Any]]:
        """Yield chunks of all streams, again and again; each pass begins with a zero state.

        The input begins before the targets by the number of steps that gradients reach further
        back, and with the state of that position.
        """
        window = self._window
        while True:
            for start in range(self._read, self._steps, window.k1):
                begin, back = window.begin(start), window.back(start)
                x, y = self._stretch(self._own, begin, start + window.k1)
                self._read = begin + len(x)
                yield x, y[start - begin :], self._states[-back] if back else None
            self._read = 0
            self._states.clear()

    def _stretch(self, columns: Columns, start: int, end: int) -> tuple[AnyIndices, AnyIndices]:
        """The inputs and the targets, from one step to another."""
        tokens = columns.read(start, min(end, self._steps) + 1).T
        return tokens[:-1], tokens[1:]

    def _step(self, x: AnyIndices, y: AnyIndices, state: Any, stop: Callable[[], bool]) -> None:
        start = time.perf_counter()
        logits, state, cache = self.model.forward(x, state)
        self._states.append(state)
        before = len(x) - len(y)
        loss, dlogits = softmax_cross_entropy(logits[before:], y)
        if before:  # these steps only serve the gradients
            dlogits = np.concatenate([np.zeros_like(logits[:before]), dlogits])
        tokens, ranks = y.size, self._ranks
        if ranks is not None:
            # All know how many tokens there are: no rank waits for another within a step.
            dlogits *= tokens / (len(y) * self.settings.batch_size)
        else:
            check_loss("--lr", self.settings.lr, loss, self.step + 1)
        grads: Mapping[str, Array]
        total = self._sum
        take = None if total is None else total.take
        _, _, grads = _finished.backward(self.model, take, cache, dlogits)
        if ranks is not None:
            seconds = self._busy + time.perf_counter() - start
            told = ranks.told(loss, tokens, stop(), seconds)
            loss, weight = weighted(told)
            tokens = int(weight)
            self._stop_asked = bool(told[:, 2].any())
            self.seconds = float(told[0, 3])
            assert total is not None
            grads = total(grads)
            with on_all_ranks:
                check_loss("--lr", self.settings.lr, loss, self.step + 1)
        norm = clip_grad_norm(grads, self.settings.clip)
        warm_up = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        self._optimizer.lr = self.settings.lr * warm_up * self._decay(self.progress)
        self._optimizer.step(grads)
        self._busy += time.perf_counter() - start
        if ranks is None:
            self.seconds = self._busy
        self.step += 1
        self.tokens += tokens
        loss /= self.characters_per_token
        self._record(loss / math.log(2))
        if self.recording is not None:
            lr = self._optimizer.lr
            self.recording.step(self.step, self.characters, loss, lr, norm)

    # --- several ranks ----------------------------------------------------------------------

    def _summing(self) -> contextlib.AbstractContextManager[GradientSum | None]:
        """A context in which gradients are summed over ranks."""
        if self._ranks is None:
            return contextlib.nullcontext()
        return self._ranks.summing(self.model.parameters)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self._ranks is None or self._ranks.is_first

    def _is_to_stop(self, stop: Callable[[], bool]) -> bool:
        return stop() if self._ranks is None else self._stop_asked

    def _bits_of_all_ranks(self, ranks: Ranks) -> float:
        nats, count = nats_of(self.model, self._held_out, None, ranks.rank, ranks.count)
        total: float = sum(ranks.told(nats)[:, 0].tolist())
        return total / (count * math.log(2))

    def _of_all_ranks(self) -> dict[str, Any]:
        """The carried state of all streams, and each rank's generator."""
        drawn = self.model.rnn._generator.bit_generator.state
        ranks = self._ranks
        if ranks is None:
            return {**self._carried(list(self._states)), "generator": drawn}
        generators, states = zip(*ranks.gathered((drawn, list(self._states))), strict=True)
        whole = [self._joined(parts, ranks) for parts in zip(*states, strict=True)]
        own = {"generator": generators[0], "generators": list(generators)}
        return {**self._carried(whole), **own}

    def _carried(self, states: list[Any]) -> dict[str, Any]:
        """The state at the end, and those before it where gradients go back to them."""
        carried = {"state": states[-1] if states else None}
        return carried if len(states) < 2 else {**carried, "states": states}

    def _joined(self, states: Sequence[Any], ranks: Ranks) -> Any:
        """A state of all streams, from each rank's."""
        places = [
            shares.neighbours(self.settings.batch_size, rank, ranks.count)
            for rank in range(ranks.count)
        ]
        parts = [state if isinstance(state, tuple) else (state,) for state in states]
        return tuple(join(each, places, 1) for each in zip(*parts, strict=True))

    def _set_generator(self, saved: Sequence[Any]) -> None:
        """Restore a rank's own generator; with another number of ranks, start independent ones."""
        rank, count = (0, 1) if self._ranks is None else (self._ranks.rank, self._ranks.count)
        same = len(saved) == count
        generator = self.model.rnn._generator.bit_generator
        generator.state = saved[rank if same else 0]
        if rank and not same:
            generator.state = generator.jumped(rank).state  # type: ignore[attr-defined]

    def _own_state(self, whole: Any) -> Any:
        """Take a rank's streams of a carried state."""
        parts = tuple(whole) if isinstance(whole, (list, tuple)) else (whole,)
        if self._ranks is not None:
            ranks = self._ranks
            mine = shares.neighbours(self.settings.batch_size, ranks.rank, ranks.count)
            parts = tuple(np.ascontiguousarray(part[:, mine]) for part in parts)
        return parts if self.model.cell == "lstm" else parts[0]

    def _record(self, bits: float) -> None:
        self.losses.append(Point(self.characters, bits))
        weight = max(1 / self.step, 1 / SMOOTHING_STEPS)
        previous = bits if self.step == 1 else self.smoothed
        self.smoothed = previous + weight * (bits - previous)
