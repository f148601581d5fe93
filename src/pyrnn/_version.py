"""The version, from the metadata of the installed package: it is written only in pyproject.toml."""

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
