"""Run tests on a processor that this machine is not, under qemu-user.

    python tests/emulation/run.py arm64                       # the kernel tests, on NEON
    python tests/emulation/run.py x86-64-v2                   # the same without AVX
    python tests/emulation/run.py arm64 tests/test_layers.py  # any arguments of pytest

Needs Linux on x86-64 and Debian's packages `qemu-user` and, for arm64, `g++-aarch64-linux-gnu`.
For arm64 the core is cross-built, and Debian's arm64 Python is unpacked beside it (`sysroot.py`);
nothing is installed on the system. Everything stays in `build/emulation/`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sysroot

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "emulation"

# What depends on the instruction set most, and runs in minutes under emulation.
KERNEL_TESTS = [
    "tests/core/test_products.py",
    "tests/core/test_math_functions.py",
    "tests/core/test_one_hot.py",
    "tests/core/bits/test_slices.py",
    "tests/agreement/test_equivalence.py",
]

# The newest processor of the level x86-64-v2, which NumPy needs: SSE 4.2, no AVX, no FMA.
X86_64_V2 = "Nehalem"


def main() -> int:
    """Build for the processor that the first argument names, and run pytest there."""
    processors = {"arm64": arm64, "x86-64-v2": x86_64_v2}
    if len(sys.argv) < 2 or sys.argv[1] not in processors:
        print(f"usage: run.py {{{','.join(processors)}}} [arguments of pytest]", file=sys.stderr)
        return 2
    python, environment = processors[sys.argv[1]]()
    environment["PYRNN_TEST_PYTHON"] = shlex.join(python)  # what starts processes of its own
    command = [*python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    arguments = sys.argv[2:] or KERNEL_TESTS
    return subprocess.run([*command, *arguments], cwd=ROOT, env=environment).returncode


def arm64() -> tuple[list[str], dict[str, str]]:
    """Cross-build for arm64; the command of its Python and the environment for that."""
    place = BUILD / "arm64"
    root = sysroot.unpacked(place)
    suffix = ".cpython-311-aarch64-linux-gnu.so"
    core = built(
        place / "core",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        f"-DCMAKE_CXX_FLAGS=-isystem {root}/usr/include",
        f"-DPython_INCLUDE_DIR={root}/usr/include/python3.11",
        f"-DPYTHON_MODULE_EXTENSION={suffix}",
    )
    python = ["qemu-aarch64", "-L", str(root), str(root / "usr/bin/python3.11")]
    return python, environment([overlay(place, core), sysroot.packages(place)])


def x86_64_v2() -> tuple[list[str], dict[str, str]]:
    """Build as usual; the command of this Python under emulation and its environment."""
    place = BUILD / "x86-64-v2"
    core = built(place / "core")
    command = ["qemu-x86_64", "-cpu", X86_64_V2, sys.executable]
    # OpenBLAS does not ask the emulated processor alone, and would take AVX2.
    return command, environment([overlay(place, core)]) | {"OPENBLAS_CORETYPE": X86_64_V2.upper()}


def built(place: Path, *options: str) -> Path:
    """The core, built in that folder with these options of CMake."""
    pybind11 = subprocess.check_output(
        [sys.executable, "-m", "pybind11", "--cmakedir"], text=True
    ).strip()
    options = (*options, f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11}")
    subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", place, *options], check=True)
    subprocess.run(["cmake", "--build", place], check=True)
    return next(place.glob("_core*.so"))


def overlay(place: Path, core: Path) -> Path:
    """A folder to import pyrnn from: its sources with that core."""
    folder = place / "package"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "pyrnn", folder / "pyrnn")
    shutil.copy(core, folder / "pyrnn")
    return folder


def environment(path: list[Path]) -> dict[str, str]:
    """This process' environment with that import path, and no choice of an instruction set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYRNN_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}


if __name__ == "__main__":
    sys.exit(main())
