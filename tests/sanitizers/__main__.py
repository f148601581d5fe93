"""Builds of the core that watch it, or fail it, and what runs on them.

    python tests/sanitizers address       # ASan and UBSan, the suite on each instruction set
    python tests/sanitizers thread        # TSan, calls from several Python threads
    python tests/sanitizers nan           # memory full of NaN before each use, the suite
    python tests/sanitizers allocations   # each allocation of each call fails in turn
    python tests/sanitizers workers       # so does each start of a thread
    python tests/sanitizers amx           # products of bfloat16, AMX's instructions emulated

``--short`` is what ``.ci/run`` runs. Further arguments go to pytest, ``races.py``, ``failing.py``
or ``amx.py``.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import builds

import pyrnn
from pyrnn import _core

UNDEFINED = "undefined,float-cast-overflow,float-divide-by-zero"
ISAS: list[str] = pyrnn.build_info()["isas"]

# The instructions of AMX, and the one that tells whether the processor has them
EMULATED = r"ldtilecfg|sttilecfg|tile\w+|td?p\w+ps|tdpb\w+|tcmm\w+|cpuid"

# What the long forms leave out, and why: the rest is what calls the core.
LEFT_OUT = {
    "tests/bench": "measures time",
    "tests/cli": "Python around the calls that other tests make, in processes of its own",
    "tests/fuzz": "limits its address space, of which a sanitizer takes nearly all",
    "tests/reference": "NumPy alone",
    "tests/sanitizers": "loads a library of its own before all others",
    "tests/core/test_disassembly.py": "reads the machine code of a release",
    "tests/core/test_memory.py": "measures the memory of the process",
    "tests/core/threads/test_pool_faults.py": "limits its address space",
    "tests/agreement/test_against_torch.py": "spends its time in torch",
    "tests/test_doctest.py": "examples of what other tests call",
    "tests/test_documents.py": "the same",
    "tests/test_examples.py": "the same",
    "tests/test_init.py": "measures time",
    "tests/test_structure.py": "reads sources",
    "tests/test_typing.py": "reads sources",
    "tests/interop/keras/test_hdf5.py::test_a_crash": "crashes, which a sanitizer takes over",
    "tests/interop/test_serialization_hostile.py::test_time_and_memory_are_bounded_by_the_size": (
        "limits its address space"
    ),
    "tests/interop/test_serialization_mapped.py::test_processes_share_the_file": "measures memory",
    "tests/text/test_corpus.py::TestLoad::test_memory": "the same",
}
# On other instruction sets than the best, where only kernels differ
KERNELS = ["tests/core", "tests/layers", "tests/agreement/test_equivalence.py"]
SHORT_SUITE = [
    "tests/core",
    "tests/agreement/test_equivalence.py",
    "tests/layers/recurrent/test_stream.py",
]
# What has products of bfloat16
NARROW_SUITE = [
    "tests/core/bits/test_same_bits.py",
    "tests/core/number_formats/test_bfloat16.py",
    "tests/core/number_formats/test_narrow.py",
    "tests/core/test_tiles.py",
    "tests/layers/recurrent/stack/test_stack_inputs.py",
    "tests/layers/recurrent/test_cell_one_step.py",
    "tests/layers/recurrent/test_one_step.py",
    "tests/layers/test_compute.py",
    "tests/parameters/test_formats.py",
    "tests/training/run/test_precision.py",
]
SHORT_CELLS = ["lstm", "gru-reset-before"]


def main() -> int:
    """Run one of the commands; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python tests/sanitizers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--short", action="store_true", help="a part, in a minute or two")
    arguments, others = parser.parse_known_args()
    return COMMANDS[arguments.command](arguments.short, others)


def address(short: bool, others: Sequence[str]) -> int:
    """ASan and UBSan over the suite, or over all calls alone."""
    isas = ISAS[-1:] if short else ISAS
    sanitizers = f"address,{UNDEFINED}"
    python = builds.build(
        "address",
        PYRNN_SANITIZE=sanitizers,
        PYRNN_FILL_MEMORY="ON",
        PYRNN_ISAS=";".join(isas),
    )
    variables = {
        # libstdc++ has to be there when the sanitizer looks for what throws.
        "LD_PRELOAD": f"{builds.library('libasan.so')}:{builds.library('libstdc++.so')}",
        # CPython and NumPy keep till the end what they make once.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }
    if short:
        return watched([str(python), str(builds.HERE / "races.py"), *others], **variables)
    runs = [suite(python, others, PYRNN_ISA=isas[-1], **variables)]
    for isa in isas[:-1]:
        runs.append(suite(python, others or KERNELS, PYRNN_ISA=isa, **variables))
    return max(runs)


def nan(short: bool, others: Sequence[str]) -> int:
    """The suite with memory full of NaN."""
    python = builds.build("nan", PYRNN_FILL_MEMORY="ON", PYRNN_ISAS=ISAS[-1] if short else "")
    return suite(python, others or (SHORT_SUITE if short else []))


def suite(python: Path, others: Sequence[str], **variables: str) -> int:
    """Run the suite on a build, or some of it, without what is left out."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    left_out = [f"--{'deselect' if '::' in path else 'ignore'}={path}" for path in LEFT_OUT]
    return watched([*command, *left_out, *others], **variables)


def thread(short: bool, others: Sequence[str]) -> int:
    """TSan over calls from several threads."""
    python = builds.build("thread", PYRNN_SANITIZE="thread", PYRNN_ISAS=ISAS[-1] if short else "")
    # Addresses have to be where the sanitizer expects them; not every container lets a process ask.
    fixed = ["setarch", platform.machine(), "-R"]
    if subprocess.run([*fixed, "true"], check=False).returncode != 0:
        fixed = []
    command = [*fixed, str(python), str(builds.HERE / "races.py")]
    return watched(
        [*command, *(["--cells", *SHORT_CELLS] * short), *others],
        LD_PRELOAD=f"{builds.library('libtsan.so')}:{builds.library('libstdc++.so')}",
        # The thread that returns memory is joined when the next one starts, or before a fork.
        TSAN_OPTIONS="history_size=4:report_thread_leaks=0",
        OPENBLAS_NUM_THREADS="1",
    )


def failing(kind: str) -> Callable[[bool, Sequence[str]], int]:
    """The command that lets things of a kind fail, in the core that is installed."""

    def run(short: bool, others: Sequence[str]) -> int:
        library = builds.shared_library("failures")
        command = [sys.executable, str(builds.HERE / "failing.py"), kind]
        command += ["--short"] * short
        return watched([*command, *others], LD_PRELOAD=str(library), OPENBLAS_NUM_THREADS="1")

    return run


def amx(short: bool, others: Sequence[str]) -> int:
    """What has products of bfloat16, in the core that is installed, AMX's instructions emulated."""
    if platform.machine() != "x86_64" or ISAS[-1] != "avx512":
        print("AMX is emulated on x86-64 with AVX-512 alone: left out")
        return 0
    variables = {
        "LD_PRELOAD": str(builds.shared_library("amx")),
        "PYRNN_BREAKPOINTS": ",".join(builds.offsets(_core.__file__, EMULATED)),
        "OPENBLAS_NUM_THREADS": "1",
    }
    # The software that it compares with says once that it is slower.
    command = [sys.executable, "-W", "ignore:products of bfloat16", str(builds.HERE / "amx.py")]
    command += ["--short"] * short
    status = watched([*command, *others], **variables)
    if short or others:
        return status
    return max(status, suite(Path(sys.executable), NARROW_SUITE, **variables))


def watched(command: Sequence[str], **variables: str) -> int:
    """Run a command; its exit status, or 1 where a sanitizer has reported something.

    Reports go to files, as a test may catch what its process says.
    """
    with tempfile.TemporaryDirectory(prefix="pyrnn-reports-") as folder:
        reports = Path(folder)
        for options in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if options in variables:
                variables[options] += f":log_path={reports / options}"
        status = subprocess.run(
            command, cwd=builds.ROOT, env=os.environ | variables, check=False
        ).returncode
        for report in reports.iterdir():
            text = report.read_text(errors="replace")
            if "ERROR: AddressSanitizer: SEGV" in text and "_core." not in text:
                continue  # tests let HDF5 crash on spoiled files, in processes of its own
            print(text)
            status = status or 1
    return status


COMMANDS = {
    "address": address,
    "thread": thread,
    "nan": nan,
    "allocations": failing("allocations"),
    "workers": failing("workers"),
    "amx": amx,
}

if __name__ == "__main__":
    sys.exit(main())
