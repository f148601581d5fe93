"""Checks what a reader's function returns, before its numbers are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

CELL = ("dxt", "da_prev", "dWax", "dWaa", "dba")
SEQUENCE = ("dx", "da0", "dWax", "dWaa", "dba")
OUTPUT = ("dWya", "dby")
TRUNCATION = ("dWax", "dWaa", "dba")
LSTM = ("dxt", "da_prev", "dc_prev", *(f"d{part}{gate}" for part in "Wb" for gate in "fico"))
RESIDUAL = ("W", "U")


class UnfilledError(ValueError):
    """Something that the stub asks for is missing, or is still the stub's dots."""


def complete(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """The function, which raises UnfilledError if the dict that it returns lacks a name."""

    def checked(*arguments: Any) -> Any:
        returned = function(*arguments)
        parts = returned if isinstance(returned, tuple) else (returned,)
        if any(part is ... for part in parts):
            raise UnfilledError("not filled in yet: ...")
        for part in parts:
            if isinstance(part, Mapping):
                missing = [name for name in names if part.get(name, ...) is ...]
                missing += [name for name in names if part.get(name, ...) is None]
                if missing:
                    raise UnfilledError(f"not filled in yet: {', '.join(missing)}")
        return returned

    return checked
