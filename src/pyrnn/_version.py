"""The version, as the installed package's metadata has it: pyproject.toml is its one place."""

from __future__ import annotations

import functools


@functools.cache
def version() -> str:
    """The version of pyrnn; "0+unknown" where it was not installed."""
    # Imported here, because it takes longer than the rest of the package.
    from importlib import metadata

    try:
        return metadata.version("pyrnn")
    except metadata.PackageNotFoundError:
        return "0+unknown"
