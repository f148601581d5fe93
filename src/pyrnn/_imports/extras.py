"""Optional packages. If one is missing, the error is one line with the command to install it."""

from __future__ import annotations

import importlib.util


class MissingExtraError(ImportError):
    """An optional package is not installed. The message has the command that installs it."""


def require(extra: str, *packages: str) -> None:
    """Raise `MissingExtraError` unless all these packages of an extra can be imported."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise MissingExtraError(
            f"{', '.join(missing)} {verb} not installed; pip install 'pyrnn[{extra}]' brings it"
        )
