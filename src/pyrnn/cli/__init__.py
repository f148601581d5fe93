"""The command ``pyrnn``: signals end it in one line from the start, while it is imported, too.

Everything else is in `_main`, because importing that takes time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pyrnn.cli._common.interrupt import deferred, ended_by_signals, status_after


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of the process if not given.

    Returns
    -------
    int
        The exit status: 0; 1 if `pyrnn compare` found a difference; 2 for errors, which are one
        line on stderr; 129, 130 or 143 if SIGHUP, Ctrl-C or SIGTERM ended it; 141 for a closed
        pipe.
    """
    try:
        with ended_by_signals():
            with deferred():
                from pyrnn.cli import _main
            status = _main.status_of(argv)
    except KeyboardInterrupt as error:  # during the imports, or a signal at the very end
        status = status_after(error)
    if status and (sys.argv[1:] if argv is None else argv)[:1] == ["train"]:
        from pyrnn.distributed import launch

        launch.end_all(status)
    return status
