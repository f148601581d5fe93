"""Start workers, one for each number of threads, and gather what they measure."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import machine
from bench.options import Options
from bench.results import Result


class WorkerError(RuntimeError):
    """A worker ended before it was done; the message has its last lines."""


def gather(tasks: Sequence[Options], console: Console, save: Callable[[Result], None]) -> Result:
    """Run all tasks of one mode, one after another; ``save`` gets the result after every row."""
    result: Result = {
        "mode": tasks[0].mode,
        "quick": tasks[0].quick,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine.describe(),
        "versions": {},
        "missing": [],
        "rows": [],
    }
    with _progress(console) as progress:
        for options in tasks:
            title = f"{options.mode}, {options.threads} thread{'s' * (options.threads > 1)}"
            bar = progress.add_task(title, total=None, row="starting")
            lines = _lines(options)
            head = next(lines)
            result["versions"] = head["versions"]
            result["missing"] = head["missing"]
            progress.update(bar, total=head["count"])
            for row in lines:
                result["rows"].append(row)
                progress.update(bar, advance=1, row=row["name"])
                save(result)
    return result


def _lines(options: Options) -> Iterator[Result]:
    """What a worker says, line by line."""
    command = [sys.executable, "-m", "bench.worker", options.to_json()]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        worker = subprocess.Popen(
            command,
            env=machine.environment(options.threads),
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        assert worker.stdout is not None
        try:
            yield from map(json.loads, worker.stdout)
        finally:
            worker.stdout.close()
            # After an interruption there is nothing to wait for.
            if sys.exc_info()[0] is not None:
                worker.kill()
            status = worker.wait()
        if status:
            raise WorkerError(
                f"{options.mode}: the worker ended with status {status}:\n{_tail(complaints)}"
            )


def _tail(complaints: IO[str], lines: int = 15) -> str:
    complaints.seek(0)
    return "\n".join(complaints.read().splitlines()[-lines:])


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[row]}"),
        console=console,
    )
