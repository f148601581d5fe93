"""Signals that ask the program to end: at once, or during training after the current step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from pyrnn.cli._common.terminal import say

STATUS = 128
"""A shell adds this to the number of a signal for the status of a program that it ended."""

NAMES = {
    number: word
    for name, word in [
        ("SIGINT", "interrupted"),
        ("SIGTERM", "terminated"),
        ("SIGHUP", "hung up"),
    ]
    if (number := getattr(signal, name, None)) is not None
}
"""The signals that ask, and the message for each."""


class Ended(KeyboardInterrupt):
    """A signal has ended the program; `number` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(NAMES[number])
        self.number = number


_raised: list[int] = []
"""The signal that raised `Ended`, if one has."""


def turned(error: Exception) -> Exception | Ended:
    """Return the error itself, or what a signal raised if that came before it."""
    return Ended(_raised[0]) if _raised else error


def status_after(error: KeyboardInterrupt) -> int:
    """Print what ended the program, and return its exit status."""
    number = error.number if isinstance(error, Ended) else signal.SIGINT
    say(f"pyrnn: {NAMES[number]}")
    return STATUS + number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside a ``with`` block the first signal raises `Ended`; later ones are ignored.

    A compiled module that is being imported may turn that into another error: see `turned`.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if not _raised:
            _raised.append(number)
            raise Ended(number)

    _raised.clear()
    before = _install(end)
    try:
        yield
    finally:
        _restore(before)


class Interrupt:
    """Inside a ``with`` block signals only set ``requested`` to the number of the first one.

    Afterwards ``requested`` tells what came; 0 if nothing did.
    """

    def __init__(self) -> None:
        self.requested = 0

    def __enter__(self) -> Interrupt:
        self._before = _install(self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _restore(self._before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = self.requested or number


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside a ``with`` block no signal ends the program; it does so afterwards.

    It is used for imports of compiled modules: an exception that is raised inside such an import is
    lost, and the process may hang at its end.
    """
    with Interrupt() as interrupt:
        yield
    if interrupt.requested:
        raise Ended(interrupt.requested)


def _install(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Install handlers for the signals; return the former handlers.

    Ignored signals stay ignored, as under nohup. Only Python's main thread can handle signals, so
    in other threads nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in NAMES if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        # None: a handler that was not set from Python, and cannot be restored from it.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
