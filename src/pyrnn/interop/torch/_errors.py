"""The error about a damaged file; `read` puts the file's path before its message."""

from __future__ import annotations


class FormatError(ValueError):
    """No file of `torch.save`, or not all of one; the message is one line."""
