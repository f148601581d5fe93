"""Builds of the core with other flags, each with an environment of its own to run in.

A build takes no package's place: its environment is a virtual one that finds what the running one
has installed, and before that this package with another core.
"""

import functools
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pybind11

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILDS = ROOT / "build" / "sanitizers"


@functools.cache
def compiler() -> list[str]:
    """The C++ compiler, as CMake chooses it."""
    return shlex.split(os.environ.get("CXX", "c++"))


def library(name: str) -> str:
    """The path of one of the compiler's own libraries."""
    command = [*compiler(), f"-print-file-name={name}"]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(path).is_absolute():
        raise SystemExit(f"{name}: expected {compiler()[0]} to come with it")
    return path


def build(name: str, **definitions: str) -> Path:
    """The core with definitions for CMake, in ``build/sanitizers/name``; gives its Python."""
    place = BUILDS / name
    environment = place / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    # Path entries in the file's lines run no start-up code of theirs: no editable install's.
    outside = [p for p in sys.path if p and Path(p).is_dir() and Path(p) != HERE]
    (packages / "outside.pth").write_text("\n".join(outside) + "\n")
    package = packages / "pyrnn"
    package.mkdir(exist_ok=True)
    for source in (ROOT / "src" / "pyrnn").iterdir():
        link = package / source.name
        if not link.is_symlink():
            link.symlink_to(source)
    # Neither stripped nor optimised at link time, for reports that name functions and for speed
    command = ["cmake", "-S", ROOT, "-B", place / "core", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    command += ["-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG"]
    if importlib.util.find_spec("ninja"):
        command += ["-G", "Ninja"]
    command += [f"-D{key}={value}" for key, value in definitions.items()]
    command += [f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", f"-DPython_EXECUTABLE={python}"]
    run_quietly(command)
    run_quietly(["cmake", "--build", place / "core", "--parallel", str(os.cpu_count())])
    run_quietly(["cmake", "--install", place / "core", "--prefix", packages])
    return python


def shared_library(name: str) -> Path:
    """One of the sources here as a library to be loaded before others."""
    made = BUILDS / f"{name}.so"
    BUILDS.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    run_quietly([*compiler(), *flags, HERE / f"{name}.cpp", "-o", made, "-ldl"])
    return made


def offsets(path: str, names: str) -> list[str]:
    """Where a library has instructions whose names match a pattern, in hexadecimal."""
    if shutil.which("objdump") is None:
        raise SystemExit("objdump: expected it to be installed, as a part of binutils")
    command = ["objdump", "-d", "--no-show-raw-insn", path]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.findall(rf"^\s*([0-9a-f]+):\s+(?:{names})\b", listing, re.MULTILINE)


def run_quietly(command: list[object]) -> None:
    """Run a command whose output only matters if it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}")
