"""For the tests of threads: the core in a process that believes it is on another machine."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., str]:
    """``compiled(source, NAME=value, ...)``: a library for LD_PRELOAD, of C with these macros."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")

    def library_of(source: str, **macros: object) -> str:
        written, library = tmp_path / "preloaded.c", tmp_path / "preloaded.so"
        written.write_text(source)
        defined = [f"-D{name}={value}" for name, value in macros.items()]
        subprocess.run(
            [compiler, "-shared", "-fPIC", *defined, "-o", library, written, "-ldl"], check=True
        )
        return str(library)

    return library_of
