"""Commands under a real mpiexec, for tests; skipped by name where it or mpi4py is missing."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MARKER = "PYRNN_TEST_OF_RANKS"


def find():
    """The mpiexec of the path, or of the installed package mpich; and its library, for mpi4py."""
    pytest.importorskip("mpi4py")
    found = shutil.which("mpiexec")
    try:
        files = importlib.metadata.distribution("mpich").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    own = {path.name: str(Path(path.locate()).resolve()) for path in files}
    found = own.get("mpiexec", found)
    if found is None:
        pytest.skip("mpiexec is not installed")
    library = own.get("libmpi.so.12")
    # mpi4py looks beside the running Python, where a package of another folder is not.
    return found, {} if library is None else {"MPI4PY_LIBMPI": library}


def start(ranks, *arguments, program=("-W", "ignore::RuntimeWarning", "-m", "pyrnn")):
    """Start ``python -m pyrnn`` on several ranks."""
    mpiexec, environment = find()
    command = [mpiexec, "-n", str(ranks), sys.executable, *program]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment, MARKER: str(os.getpid()), "PYTHONIOENCODING": "utf-8"},
    )


def run(ranks, *arguments, status=0, **options):
    """Run it to its end; the outputs."""
    process = start(ranks, *arguments, **options)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        end(process)
    assert process.returncode == status, (process.returncode, out, err)
    return out, err


def ranks_of(process):
    """The process numbers of the ranks, in their order."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                pairs = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            variables = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
            if variables.get(MARKER.encode()) == str(os.getpid()).encode() and (
                b"PMI_RANK" in variables and b"pyrnn" in command
            ):
                found[int(variables[b"PMI_RANK"])] = int(folder.name)
    return [found[rank] for rank in sorted(found)]


def end(process):
    """End what a failed test has left."""
    if process.poll() is None:
        for pid in ranks_of(process):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait(10)
