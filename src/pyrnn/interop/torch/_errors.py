"""What is wrong with a file; `read` puts the file's path before it."""

from __future__ import annotations


class FormatError(ValueError):
    """No file of `torch.save`, or not all of one; the message is one line."""
