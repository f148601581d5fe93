"""``amx.cpp`` computes what Intel's manual says of AMX, and refuses what a processor refuses."""

import importlib.util
import itertools
import platform
import runpy
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from pyrnn.reference import bfloat16

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    sys.platform != "linux"
    or platform.machine() != "x86_64"
    or pyrnn.build_info()["isas"][-1:] != ["avx512"]
    or not shutil.which("c++")
    or not importlib.util.find_spec("pybind11"),
    reason="a library to load before others is compiled, for Linux and AVX-512",
)

# Runs machine code with the address of a page of memory, which it prints: the first argument says
# what the page begins with, the others are instructions, of which those of AMX begin with c4.
RUN = """
import ctypes, mmap, sys
memory, *code = map(bytes.fromhex, sys.argv[2:])
library = ctypes.CDLL(None, use_errno=True)
data, page = mmap.mmap(-1, 8192), mmap.mmap(-1, 4096, prot=7)
data.write(memory)
if sys.argv[1] == "permitted":
    assert library.syscall(158, 0x1023, 18) == 0
next = begin = ctypes.addressof(ctypes.c_char.from_buffer(page))
page.write(b"".join(code))
for one in code:
    if one[0] == 0xC4:
        library.amx_replace(ctypes.c_void_p(next))
    next += len(one)
address = ctypes.addressof(ctypes.c_char.from_buffer(data))
ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long)(begin)(address, 64)
print(data[4096:5120].hex(), *[library.amx_count(kind) for kind in range(5)])
print(library.amx_configured_threads())
"""

# rdi is the page, rsi is 64
CONFIGURE, RELEASE, RETURN = "c4e2784907", "c4e27849c0", "c3"
LOADS = ["c4e27b4b843740000000", "c4e27b4b8c3740040000", "c4e27b4b943740080000"]
"""Tiles 0 to 2 from rdi + 64, 1088, 2112, with rows of rsi bytes."""
MULTIPLY = "c4e26a5cc1"
"""tdpbf16ps of tiles 0, 1, 2: the first is the sum."""
STORE = "c4e27a4b843700100000"
"""Tile 0 to rdi + 4096"""


@pytest.fixture(scope="module")
def run():
    """Runs instructions on memory, in a process of its own."""
    sys.path.insert(0, str(HERE))
    try:
        library = runpy.run_path(str(HERE / "builds.py"))["shared_library"]("amx")
    finally:
        sys.path.remove(str(HERE))

    def in_process(memory, *code, permitted=True):
        command = [sys.executable, "-S", "-c", RUN, "permitted" if permitted else "not"]
        return subprocess.run(
            [*command, memory.hex(), *code],
            capture_output=True, text=True, check=False, timeout=60, env={"LD_PRELOAD": library},
        )  # fmt: skip

    return in_process


def shapes(*sizes, palette=1, start=0, reserved=0):
    """What ldtilecfg reads: rows, and bytes a row, of the first tiles."""
    rows, row_bytes = ([size[i] for size in sizes] + [0] * (16 - len(sizes)) for i in (0, 1))
    return struct.pack("<BB14B16H16B", palette, start, *[0] * 13, reserved, *row_bytes, *rows)


WHOLE = shapes(*[(16, 64)] * 3)


@pytest.mark.parametrize(("M", "N", "K"), [(16, 16, 32), (3, 5, 8), (1, 1, 2), (16, 2, 30)])
def test_products_of_tiles_are_those_of_the_reference(run, M, N, K):
    generator = np.random.default_rng(M)
    sums = np.zeros((16, 16), np.float32)
    a, b = generator.standard_normal((2, 16, 32)).astype(np.float32)
    a[0, :2], b[0, 1] = 1e-30, 1e-15  # a product that is subnormal
    # B has pairs of k for each column.
    b_pairs = b.reshape(16, 16, 2).transpose(1, 0, 2).reshape(16, 32)
    upper = [(array.view(np.uint32) >> 16).astype(np.uint16).tobytes() for array in (a, b_pairs)]
    memory = shapes((M, 4 * N), (M, 2 * K), (K // 2, 4 * N)) + sums.tobytes() + b"".join(upper)
    done = run(memory, CONFIGURE, *LOADS, MULTIPLY, STORE, RELEASE, RETURN)
    assert done.returncode == 0, done.stderr
    numbers, *counts, configured = done.stdout.split()
    got = np.frombuffer(bytes.fromhex(numbers), np.float32).reshape(16, 16)
    cut = [(array.view(np.uint32) & 0xFFFF0000).view(np.float32) for array in (a, b)]
    expected = np.zeros((16, 16), np.float32)
    expected[:M, :N] = bfloat16.product(cut[0][:M, :K], cut[1][:N, :K])
    assert got.tobytes() == expected.tobytes()
    assert (counts, configured) == (["1", "1", "3", "1", "1"], "0")


@pytest.mark.parametrize(
    ("memory", "code", "message"),
    [
        (shapes((16, 64), palette=2), [CONFIGURE], "palette"),
        (shapes((16, 64), reserved=1), [CONFIGURE], "reserved"),
        (shapes((17, 64)), [CONFIGURE], "at most 16 rows"),
        (shapes((16, 68)), [CONFIGURE], "at most 16 rows"),
        (shapes((0, 64)), [CONFIGURE], "both sizes or none"),
        (WHOLE, LOADS, "configured in this thread"),
        (WHOLE, [CONFIGURE, RELEASE, *LOADS], "configured in this thread"),
        (shapes((16, 64)), [CONFIGURE, *LOADS], "a tile that is configured"),
        (WHOLE, [CONFIGURE, *LOADS, "c4e2725cc1"], "three tiles"),
        (shapes((16, 64), (15, 64), (16, 64)), [CONFIGURE, MULTIPLY], "sizes that go together"),
        (shapes((16, 64), (16, 60), (16, 64)), [CONFIGURE, MULTIPLY], "sizes that go together"),
        (WHOLE, [CONFIGURE, "c4e2735ec0"], "one that amx.cpp computes"),
    ],
    ids=itertools.count(),
)
def test_what_a_processor_refuses_ends_the_process(run, memory, code, message):
    done = run(memory, *code, RETURN)
    assert done.returncode < 0
    assert message in done.stderr


def test_a_process_has_to_ask_for_tiles(run):
    done = run(WHOLE, CONFIGURE, RELEASE, RETURN, permitted=False)
    assert done.returncode < 0
    assert "ARCH_REQ_XCOMP_PERM" in done.stderr
