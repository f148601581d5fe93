"""The options of a run, which the command sends to its workers."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Options:
    """One worker's task."""

    mode: str
    threads: int
    quick: bool = False
    only: str | None = None

    def wants(self, name: str) -> bool:
        """Whether a name has a match of ``only``, a regular expression; always without one."""
        return self.only is None or re.search(self.only, name, re.IGNORECASE) is not None

    def to_json(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Options:
        """What `to_json` wrote."""
        return cls(**json.loads(text))
