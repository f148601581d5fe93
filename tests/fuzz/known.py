"""Findings that are known and not mended yet: the command lists them, and does not fail for them.

What stands here is a debt. Each goes when what it names is mended.
"""

from __future__ import annotations

import re

KNOWN: tuple[tuple[str, str], ...] = (
    ("infinities and NaN", r"difference: .*NaN or infinity elsewhere"),
    ("NumPy's warnings", r"native: warns: RuntimeWarning: (overflow|invalid value|divide by zero)"),
    ("text of another type", r"^text: \w+: (names no argument|raises AttributeError)"),
)  # fmt: skip
"""What it is, and a pattern of ``entry: kind: detail``."""


def is_known(finding: tuple[str, str, str]) -> bool:
    """Whether a finding is one of these."""
    return any(re.search(pattern, ": ".join(finding)) for _, pattern in KNOWN)
