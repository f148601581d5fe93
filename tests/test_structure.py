"""Layers: who may import whom in Python, who may include whom in C++, and both lists of cells."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from pyrnn.reference.cells import CELLS

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / "src"
CPP = ROOT / "src" / "cpp"


def in_or_above_a_circle(arrows):
    """What is left of the arrows {from: to all these} when ends are removed, again and again."""
    while arrows:
        ends = {name for name, below in arrows.items() if not below & set(arrows)}
        if not ends:
            break
        arrows = {name: below for name, below in arrows.items() if name not in ends}
    return sorted(arrows)


def test_a_circle_is_noticed():
    arrows = {"a": {"b", "e"}, "b": {"c"}, "c": {"d"}, "d": {"b"}, "e": {"f"}, "f": set()}
    assert in_or_above_a_circle(arrows) == ["a", "b", "c", "d"]
    assert not in_or_above_a_circle({**arrows, "d": {"e"}})


# --- sizes ----------------------------------------------------------------------------------

# Without __init__.py, which may hold a docstring alone, and without stubs.
MOST_FILES, MOST_LINES = 15, 450
CODE = [
    path
    for folder in (PYTHON, ROOT / "tests", ROOT / "bench", ROOT / "examples")
    for path in sorted(folder.rglob("*"))
    if path.suffix in (".py", ".pyi", ".hpp", ".cpp")
]


def test_no_file_is_long():
    long = {path.as_posix(): len(path.read_text().splitlines()) for path in CODE}
    assert not {name: lines for name, lines in long.items() if lines > MOST_LINES}


def test_no_folder_is_full():
    counts = Counter(p.parent for p in CODE if p.stem != "__init__" and p.suffix != ".pyi")
    assert len(counts) > 50
    assert not {folder: count for folder, count in counts.items() if count > MOST_FILES}


# --- Python ---------------------------------------------------------------------------------


def module_name(path):
    parts = list(path.relative_to(PYTHON).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


MODULES = {module_name(path): path for path in sorted((PYTHON / "pyrnn").rglob("*.py"))}
BENCH = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "bench").rglob("*.py"))
}


def imports(source, name, is_package=False):
    """Names of everything that a module's source imports, wherever in it, as far as it says."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, node.module] if node.module else above)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


@cache
def imported_by(name):
    """The modules of pyrnn or bench that a module imports; a name in one counts as the module."""
    path = MODULES.get(name) or BENCH[name]
    found = set()
    for imported in imports(path.read_text(), name, path.name == "__init__.py"):
        if imported in MODULES or imported in BENCH or imported == "pyrnn._core":
            found.add(imported)
    return frozenset(found)


def within(name, package):
    return name == package or name.startswith(f"{package}.")


def test_imports_are_found_in_every_form():
    source = """
import pyrnn.a, os
from pyrnn.b import c
from . import d
from ..e import f
importlib.import_module("pyrnn.g")
def later():
    from pyrnn import h
"""
    found = set(imports(source, "pyrnn.x.y"))
    assert {
        "pyrnn.a", "os", "pyrnn.b", "pyrnn.b.c", "pyrnn.x.d", "pyrnn.e.f", "pyrnn.g", "pyrnn.h",
    } <= found  # fmt: skip
    assert "pyrnn.x.y.d" in set(imports("from . import d", "pyrnn.x.y", is_package=True))


# From the ground up. A room may import rooms on lower floors and itself, and none beside it.
FLOORS = [
    {"_types", "_version", "_warnings", "_imports", "_locks"},
    {"_pieces"},
    {"_number_formats"},
    {"_pickling", "reference"},
    {"backend"},
    {"_checks"},
    {"_files"},
    {"backend.threads"},
    {"parameters"},
    {"layers"},
    {"training", "distributed"},
    {"text"},
    {"diagnostics", "interop", "textbook"},
    {"training.run"},
    {"sklearn", "report"},
    {"cli", "exercises", "callbacks", "losses", "optim", "serialization", "model", "typing"},
    {"", "__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(name):
    """The folder or single file of the package that a module lives in, or a floor of its own."""
    inside = name.removeprefix("pyrnn").removeprefix(".")
    parts = inside.split(".")
    longest = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((room for room in longest if room in FLOOR), parts[0])


def is_arrow_down(above, below):
    return room_of(above) == room_of(below) or FLOOR[room_of(above)] > FLOOR[room_of(below)]


def test_modules_are_found():
    expected = {
        "pyrnn",
        "pyrnn.backend.selection",
        "pyrnn.layers.recurrent._stack",
        "pyrnn._checks",
    }
    assert expected <= set(MODULES)
    assert "pyrnn.reference.backend" in imported_by("pyrnn.backend.selection")


def test_every_room_has_a_floor():
    assert {room_of(name) for name in MODULES} == set(FLOOR)  # and each floor a room


def between_modules():
    """All pairs of modules of pyrnn of which the first imports the second."""
    return {
        (name, below) for name in MODULES for below in imported_by(name) - {"pyrnn", "pyrnn._core"}
    }


def test_arrows_point_down():
    assert not {arrow for arrow in between_modules() if not is_arrow_down(*arrow)}


def test_an_arrow_up_is_noticed():
    assert is_arrow_down("pyrnn.text.corpus", "pyrnn._checks")
    assert not is_arrow_down("pyrnn.layers.recurrent._stack", "pyrnn.training.losses")
    assert not is_arrow_down("pyrnn.textbook.rnn", "pyrnn.interop.serialization")


def test_an_arrow_turned_round_is_noticed():
    between = {(n, below) for n, below in between_modules() if room_of(n) != room_of(below)}
    assert ("pyrnn.layers.dense", "pyrnn.backend.selection") in between
    assert len(between) > 500
    assert not {arrow for arrow in between if is_arrow_down(*reversed(arrow))}


@pytest.mark.parametrize("modules", [MODULES, BENCH], ids=["pyrnn", "bench"])
def test_no_module_imports_itself_in_a_circle(modules):
    """However late, and for types alone."""
    packages = {name: {p for p in modules if within(name, p)} for name in modules}
    arrows = {name: imported_by(name) & set(modules) - packages[name] for name in modules}
    assert len(arrows) > 30
    assert not in_or_above_a_circle(arrows)


@pytest.mark.parametrize("core", ["pyrnn._core", "pyrnn.backend.native"])
def test_only_the_backend_knows_the_compiled_core(core):
    knowing = {name for name in MODULES if core in imported_by(name)}
    assert knowing
    assert {room_of(name) for name in knowing} == {"backend"}


def test_only_the_backend_computes_with_the_reference():
    """The textbook may show its pointwise functions."""
    others = [(n, b) for n, b in between_modules() if room_of(n) not in ("reference", "backend")]
    reached = {(name, below) for name, below in others if within(below, "pyrnn.reference")}
    shown = {"pyrnn.reference", "pyrnn.reference.activations"}
    assert not {(n, b) for n, b in reached if b not in shown or not within(n, "pyrnn.textbook")}


def imports_from(top, folder):
    """Pairs of a Python file below a folder and what it imports of a top package."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found = imports(path.read_text(), name, path.name == "__init__.py")
        yield from ((name, imported) for imported in found if within(imported, top))


@pytest.mark.parametrize(
    ("folder", "others"),
    [
        ("src", {"bench", "docs", "examples", "tests"}),
        ("bench", {"docs", "examples", "tests"}),
        ("examples", {"bench", "docs", "tests"}),
    ],
)
def test_what_users_get_needs_nothing_around_it(folder, others):
    assert not [arrow for top in sorted(others) for arrow in imports_from(top, folder)]


def test_what_tests_share_imports_no_test():
    arrows = set(imports_from("tests", "tests"))
    assert ("tests.interop.test_stored", "tests.number_formats.rounded") in arrows
    shared = {(name, below) for name, below in arrows if ".test_" not in name}
    assert not {(name, below) for name, below in shared if ".test_" in below}


# --- C++ ------------------------------------------------------------------------------------

SOURCES = sorted(p for p in CPP.rglob("*") if p.suffix in (".hpp", ".cpp"))
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SHARED = {"kernel_table", "kernel_table.hpp", "numerics.hpp", "tuning.hpp"}
INTRINSICS = {"immintrin.h", "x86intrin.h", "arm_neon.h"}
NOT_PER_INSTRUCTION_SET = {
    # containers and what allocates
    "any", "array", "deque", "forward_list", "functional", "list", "map", "memory", "optional",
    "queue", "set", "span", "stack", "string", "string_view", "tuple", "unordered_map",
    "unordered_set", "variant", "vector",
    # streams, errors, threads
    "exception", "fstream", "iostream", "sstream", "stdexcept", "system_error",
    "atomic", "barrier", "condition_variable", "future", "latch", "mutex", "semaphore",
    "shared_mutex", "stop_token", "thread", "pthread.h",
}  # fmt: skip


def includes(path):
    """What a C++ file includes: system headers, and own ones as paths below src/cpp."""
    system, own = set(), set()
    for bracket, header in INCLUDE.findall(path.read_text()):
        beside = path.parent / header
        if bracket == '"' and beside.exists():
            own.add(beside.resolve().relative_to(CPP).as_posix())
        elif (CPP / header).exists():
            own.add(header)
        else:
            system.add(header)
    return system, own


def layer(header):
    """The top folder of an own header, or its name where it lies in none."""
    return header.split("/")[0]


def below(folder):
    found = [p for p in SOURCES if p.is_relative_to(CPP / folder)]
    return pytest.mark.parametrize("path", found, ids=lambda p: p.relative_to(CPP).as_posix())


def test_sources_of_every_layer_are_found():
    assert {layer(p.relative_to(CPP).as_posix()) for p in SOURCES} >= {
        "isa", "runtime", "bindings", "kernel_table.hpp",
    }  # fmt: skip
    system, own = includes(CPP / "isa" / "kernels.cpp")
    assert "kernel_table.hpp" in own
    assert any(layer(header) == "isa" for header in own)
    assert "Python.h" not in system


# From the ground up, as for Python. A single file of a room may have a floor of its own.
CPP_FLOORS = [
    {"numerics.hpp", "tuning.hpp"},
    {"kernel_table"},
    {"kernel_table.hpp"},
    {"isa/simd", "runtime/machine", "runtime/memory"},
    {"isa/panels"},
    {"isa/bfloat16", "isa/int8"},
    {"isa/gemm", "runtime/cores"},
    {"runtime/threads"},
    {"isa/cells", "runtime/layout"},
    {"isa", "runtime/walk", "runtime/dense", "runtime/optimizers"},
    {"bindings/bindings.hpp", "bindings/python"},
    {"bindings/recurrent"},
    {"bindings"},
]
CPP_FLOOR = {room: number for number, rooms in enumerate(CPP_FLOORS) for room in rooms}


def cpp_room(header):
    """The folder of an own file, or the file where it has a floor of its own."""
    return header if header in CPP_FLOOR else header.rpartition("/")[0]


def is_include_down(above, below):
    room, other = cpp_room(above), cpp_room(below)
    return room == other or CPP_FLOOR[room] > CPP_FLOOR[other]


INCLUDED = {path.relative_to(CPP).as_posix(): includes(path)[1] for path in SOURCES}


def test_every_room_of_sources_has_a_floor():
    assert {cpp_room(name) for name in INCLUDED} == set(CPP_FLOOR)  # and each floor a room


def test_includes_point_down():
    between = {(name, below) for name, found in INCLUDED.items() for below in found}
    assert not {arrow for arrow in between if not is_include_down(*arrow)}


def test_an_include_turned_round_is_noticed():
    between = {
        (name, below)
        for name, found in INCLUDED.items()
        for below in found
        if cpp_room(name) != cpp_room(below)
    }
    assert ("runtime/threads/pool.cpp", "runtime/machine/flush_scope.hpp") in between
    assert ("bindings/recurrent/calls.hpp", "runtime/walk/plan.hpp") in between
    assert not {arrow for arrow in between if is_include_down(*reversed(arrow))}


def test_an_include_sideways_is_noticed():
    assert not is_include_down("runtime/walk/windows.cpp", "runtime/dense/dense.hpp")
    assert not is_include_down("runtime/memory/memory.cpp", "runtime/machine/dispatch.hpp")


def test_every_group_of_measured_numbers_names_its_record():
    """And nothing that is part of the arithmetic is among them."""
    text = (CPP / "tuning.hpp").read_text().partition("// Grains")[2]
    groups = [group for group in text.split("\n\n") if "constexpr" in group]
    assert len(groups) > 15
    records = [re.findall(r"docs/tuning/[\w-]+\.md", group) for group in groups]
    assert not [group for group, named in zip(groups, records, strict=True) if not named]
    assert not {name for named in records for name in named if not (ROOT / name).is_file()}
    assert "version" in (CPP / "numerics.hpp").read_text()
    assert "version" not in text


def test_no_header_includes_itself_in_a_circle():
    assert not in_or_above_a_circle(INCLUDED)


@below("isa")
def test_code_per_instruction_set_knows_kernels_alone(path):
    system, own = includes(path)
    assert {layer(header) for header in own} <= {"isa", *SHARED}
    assert not system & NOT_PER_INSTRUCTION_SET
    assert not {h for h in system if h == "Python.h" or h.startswith(("pybind11", "numpy"))}


@below("isa")
def test_intrinsics_are_named_below_simd_alone(path):
    system, _ = includes(path)
    if "simd" not in path.parts:
        assert not system & INTRINSICS


def test_cells_see_the_abstract_vector_alone():
    _, cells = includes(CPP / "isa" / "cells" / "cells.hpp")
    assert len(cells) >= 3
    for cell in cells:
        _, own = includes(CPP / cell)
        own -= {h for h in own if h.startswith("isa/cells/") and h != "isa/cells/step.hpp"}
        assert not {h for h in own if not h.startswith(("isa/simd/", "kernel_table"))}, cell


@below("runtime")
def test_runtime_knows_no_bindings_and_no_kernels(path):
    system, own = includes(path)
    assert {layer(header) for header in own} <= {"runtime", *SHARED}
    assert not {h for h in system if h == "Python.h" or h.startswith(("pybind11", "numpy"))}


@below("bindings")
def test_bindings_know_no_kernels(path):
    _, own = includes(path)
    assert {layer(header) for header in own} <= {"bindings", "runtime", *SHARED}


def test_both_lists_of_cells_are_one():
    """The reference's list, and the core's in kernel_table.hpp: same cells, same order."""
    text = (CPP / "kernel_table.hpp").read_text()
    found = re.search(r"enum class CellIndex[^{]*\{([^}]*)\}", text)
    assert found
    names = [name.strip() for name in found[1].split(",") if name.strip()]
    assert names == [*CELLS, "count"]
