"""How exported models are built: the compilers that are there, and `make`."""

import re
import shutil
import subprocess

ARM = "arm-linux-gnueabihf-gcc"
ARM_RUN = "qemu-arm -L /usr/arm-linux-gnueabihf"
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
FLAGS = "-std=c99 -O2 -Wall -Wextra -Wconversion -Wshadow -pedantic -Werror"


def make(folder, compiler, run="", target="test"):
    command = ["make", "-s", "-B", target, f"CC={compiler}", f"CFLAGS={FLAGS}", f"RUN={run}"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def largest_error(done):
    """What the generated test printed."""
    return float(re.search(r"largest error ([\d.e+-]+)", done.stdout)[1])
