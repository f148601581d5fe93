"""Files: what was written comes back, and one that is spoiled is refused in one line."""

from tests.fuzz.entries.files import (
    report_files,
    saved,
    spoiled,
    text_files,
    torch_files,
)

__all__ = [
    "report_files",
    "saved",
    "spoiled",
    "text_files",
    "torch_files",
]
