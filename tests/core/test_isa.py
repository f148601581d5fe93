"""Every instruction set: which are built, and which one is taken.

What each computes is tested in tests/test_isa.py.
"""

import math
import platform
import re
from pathlib import Path

import pytest

import pyrnn
from pyrnn.backend import selection
from pyrnn.reference.cells import CELLS

ISAS = pyrnn.build_info()["isas"]
X86 = platform.machine().lower() in ("x86_64", "amd64")

# What the kernel calls the features that an instruction set needs.
FEATURES = {
    "baseline": set(),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx512f", "avx512dq", "avx512vl", "avx512bw"},
    "neon": set(),
}


def runnable():
    """Those of the built ones that this processor runs, the best last."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        pytest.skip("/proc/cpuinfo does not say what this processor has")
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    return [isa for isa in ISAS if has >= FEATURES[isa]]


def test_built_are_those_of_the_machine():
    if X86:
        assert ISAS == ["baseline", "avx2", "avx512"]
    elif platform.machine().lower() in ("aarch64", "arm64"):
        assert ISAS == ["neon"]
    else:
        assert ISAS == ["baseline"]


def test_the_best_is_taken(run_python):
    result = run_python("-c", "import pyrnn; print(pyrnn.build_info()['isa'])")
    assert result.stdout.strip() == runnable()[-1], result.stderr


@pytest.mark.parametrize("isa", ISAS)
def test_one_can_be_forced(run_python, isa):
    code = "import pyrnn; print(pyrnn.build_info()['isa'])"
    result = run_python("-c", code, PYRNN_ISA=isa)
    if isa in runnable():
        assert result.stdout.strip() == isa, result.stderr
    else:
        assert f"PYRNN_ISA: this processor does not run '{isa}'" in result.stderr
        assert result.returncode == 1


def test_an_empty_choice_is_none(run_python):
    result = run_python("-c", "import pyrnn; print(pyrnn.build_info()['isa'])", PYRNN_ISA="")
    assert result.stdout.strip() == runnable()[-1], result.stderr


def test_the_core_and_the_reference_have_the_same_cells():
    core = selection.native_module().cells()
    assert core == list(CELLS), (
        f"the core has the cells {core}, the reference {list(CELLS)}: a cell is a header in "
        "src/cpp/isa/cells, a line in its cells.hpp and one in CellIndex of kernel_table.hpp, and "
        "a file and a line in src/pyrnn/reference/cells/__init__.py, in the same order"
    )


@pytest.mark.parametrize(
    ("cell", "projected"),
    [(cell, False) for cell in CELLS]
    + [(cell, True) for cell, entry in CELLS.items() if entry.projects],
)
def test_a_cell_s_parameters_are_those_of_the_reference(cell, projected):
    """Which there are, and how many numbers each has; of primes, so that none agree by chance."""
    entry = CELLS[cell]
    gates, states, numbers = selection.native_module().cell_facts(cell, 3, 11, 7 * projected or 11)
    if not projected:
        del numbers["weight_hr"]  # which the core takes for any cell
    shapes = entry.shapes(3, 11, proj_size=7 * projected)
    assert (gates, states) == (entry.gates, entry.states)
    assert numbers == {name: math.prod(shape) for name, shape in shapes.items()}


OPTIMIZERS = """
import hashlib, numpy as np, pyrnn
generator, digest = np.random.default_rng(0), hashlib.sha256()
for dtype in ("float32", "float64"):
    for kind in (pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW, pyrnn.SGD):
        size = int(generator.integers(1, 200))
        parameters = {"p": generator.standard_normal(size).astype(dtype)}
        optimizer = kind(parameters, lr=0.1, weight_decay=0.01)
        for _ in range(5):
            magnitudes = 10.0 ** generator.uniform(-25, 5, size)
            gradient = magnitudes * generator.choice([-1, 0, 1], size)
            optimizer.step({"p": gradient.astype(dtype)})
        digest.update(parameters["p"].tobytes())
print(digest.hexdigest())
"""


def test_optimizers_give_the_same_bits_on_every_instruction_set(run_python):
    results = {isa: run_python("-c", OPTIMIZERS, PYRNN_ISA=isa) for isa in runnable()}
    digests = {isa: result.stdout.strip() for isa, result in results.items()}
    assert len(digests[runnable()[0]]) == 64, results
    assert len(set(digests.values())) == 1, digests
