"""A worker: measures one mode with one number of threads in a process of its own.

Libraries fix their threads when they are imported, so that each number needs a fresh process. The
worker is started by `bench.launch` and writes one line of JSON for everything that it has to say.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from bench import machine
from bench.options import Options

MODES = {
    "grid": "bench.modes.grid",
    "characters": "bench.characters.run",
    "accelerate": "bench.characters.accelerated",
    "growth": "bench.modes.growth",
    "busy": "bench.modes.busy",
}
"""Modules with ``PEERS``, the libraries that they compare, and the functions ``cases(options)`` and
``rows(options, peers)``."""


def main() -> None:
    """Measure what the one argument asks for."""
    options = Options.from_json(sys.argv[1])
    channel = _take_standard_output()
    restricted = machine.restrict(options.threads)
    # Imported here, because the libraries look for the cores that they may use.
    from bench import peers

    mode = importlib.import_module(MODES[options.mode])
    found, missing = peers.installed(mode.PEERS)
    if not restricted and "jax" in found:
        del found["jax"]
        missing.append("jax (its threads cannot be limited here)")
    _say(
        channel,
        {
            "versions": {name: peer.version() for name, peer in found.items()},
            "missing": missing,
            "count": len(mode.cases(options)),
        },
    )
    for row in mode.rows(options, found):
        _say(channel, row)


def _take_standard_output() -> IO[str]:
    """Standard output for the lines of JSON alone: whatever else prints goes to standard error."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


def _say(channel: IO[str], what: Mapping[str, Any]) -> None:
    channel.write(json.dumps(what) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
