"""matplotlib without the user's configuration, and without its log messages."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from pyrnn.cli._common.interrupt import deferred

_ENVIRONMENT = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
"""Settings that keep it from importing the user's backend and reading the user's settings."""


@contextlib.contextmanager
def without_configuration() -> Iterator[None]:
    """Inside a ``with`` block matplotlib has its own defaults, and prints nothing."""
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        _import()
        import matplotlib

        # It may have been imported before, with the user's settings. The backend does not matter
        # for drawing on our own canvas, and setting one might load it.
        defaults = matplotlib.rcParamsDefault
        usual = {name: defaults[name] for name in defaults if not name.startswith("backend")}
        with matplotlib.rc_context(usual):
            yield


def _import() -> None:
    """Import all that drawing needs, so that no signal interrupts an import later."""
    with deferred():
        _import_all()


def _import_all() -> None:
    if "matplotlib" not in sys.modules:
        _import_without_settings()
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    import PIL.PngImagePlugin  # noqa: F401


def _import_without_settings() -> None:
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        with _away_from_settings():
            import matplotlib  # noqa: F401
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _away_from_settings() -> Iterator[None]:
    """Leave a current folder that has a ``matplotlibrc``, which would override everything."""
    if not os.path.exists("matplotlibrc"):
        yield
        return
    here = os.getcwd()
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    try:
        yield
    finally:
        os.chdir(here)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside a ``with`` block matplotlib logs nothing."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
