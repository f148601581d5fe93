"""``python -m pyrnn.exercises NAME``: write the stub, or check what was filled in."""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pyrnn.exercises.answers import UnfilledError
from pyrnn.exercises.tasks import TASKS, Task


def main(argv: Sequence[str] | None = None) -> int:
    """Run: exit status 0 if the exercise is solved or its stub was written, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m pyrnn.exercises",
        description="Exercises on back-propagation through time. The first call writes a stub into "
        "the current folder, each further one checks it and gives hints.",
        epilog="; ".join(f"{name}: {task.title}" for name, task in TASKS.items()),
    )
    parser.add_argument("name", choices=list(TASKS), nargs="?", help="which exercise")
    parser.add_argument("--file", type=Path, help="the file (default: exercise_NAME.py)")
    arguments = parser.parse_args(argv)
    if arguments.name is None:
        print("\n".join(f"{name:<12}{task.title}" for name, task in TASKS.items()))
        return 0
    path = arguments.file or Path(f"exercise_{arguments.name}.py")
    if not path.exists():
        path.write_text(stub(arguments.name), encoding="utf-8")
        print(f"{path} is written. Fill it in, then run this command again.")
        return 0
    hints = check(TASKS[arguments.name], path)
    print("\n".join(hints) or "Right.")
    return 1 if hints else 0


def stub(name: str) -> str:
    """The text of an exercise's stub."""
    return resources.files("pyrnn.exercises").joinpath(f"stubs/{name}.txt").read_text("utf-8")


def check(task: Task, path: Path) -> list[str]:
    """Hints for what a file defines; an error in it is one of them."""
    try:
        functions = runpy.run_path(str(path))
        missing = [name for name in task.names if not callable(functions.get(name))]
        if missing:
            return [f"{path}: expected a function {' and '.join(missing)}"]
        return task.check(functions)
    except NotImplementedError:
        return [f"{path}: not filled in yet"]
    except UnfilledError as error:
        return [f"{path}: {error}"]
    except Exception as error:
        return [_place(error, path)]


def _place(error: Exception, path: Path) -> str:
    """The place in the reader's file where an error was raised, in one line."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).name == path.name]
    where = f"{path}, line {own[-1].lineno}" if own else str(path)
    return f"{where}: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
