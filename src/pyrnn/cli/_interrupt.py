"""Ctrl-C as a request: the loop ends after its step instead of in the middle of it."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupt:
    """Inside a ``with`` block SIGINT does no more than set ``requested``."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Interrupt:
        # Python lets only the main thread handle signals; elsewhere nothing is to be caught.
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._before = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
