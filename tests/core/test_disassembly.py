"""The code that the compiler makes of src/cpp/isa, read back.

Each instruction set is compiled once, with the flags of CMakeLists.txt. No micro-kernel may touch
the stack in its inner loop: that is an accumulator or a constant that found no register, and costs
a good part of the speed. And an object of an instruction set may export its kernel table alone: an
inline function compiled for AVX2 that merges at link time with the baseline's crashes old machines.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import pyrnn

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "cpp"
ISAS = pyrnn.build_info()["isas"]
MICRO_KERNELS = re.compile(r"\btile_(rows|panels)<")
LEAST_MICRO_KERNELS = 20
MULTIPLY_ADDS = re.compile(r"^(vfn?m(add|sub)\w+|v?mulp[sd]|fml[as])\b")

needs_objdump = pytest.mark.skipif(
    shutil.which("objdump") is None, reason="objdump is not installed"
)

# --- compiling ------------------------------------------------------------------------------


def flags_of(isa, cmake):
    """What CMakeLists.txt compiles kernels.cpp with for an instruction set."""
    common = re.search(r"target_compile_options\(\s*pyrnn_isa_\$\{name\} PRIVATE ([^$)]*)", cmake)
    own = re.search(rf"add_isa\({isa}\b([^)]*)\)", cmake)
    assert common, "CMakeLists.txt: no target_compile_options for pyrnn_isa_${name}"
    assert own, f"CMakeLists.txt: no add_isa({isa})"
    variables = dict(re.findall(r"set\((\w+) (-m[^)]*)\)", cmake))
    always = re.sub(r"\$<\$<BOOL:[^>]*>:[^>]*>", "", own[1])  # not what depends on the assembler
    words = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], always)
    return [*common[1].split(), *words.split()]


def built_objects():
    """Those that an editable install left in build/, if they are newer than all that they need."""
    needed = [ROOT / "CMakeLists.txt", *SOURCES.glob("*.hpp"), *SOURCES.glob("kernel_table/*")]
    changed = max(path.stat().st_mtime for path in [*needed, *SOURCES.rglob("isa/**/*.?pp")])
    found = {}
    for isa in ISAS:
        kept = ROOT.glob(f"build/*/CMakeFiles/pyrnn_isa_{isa}.dir/src/cpp/isa/kernels.cpp.o")
        fresh = [path for path in kept if path.stat().st_mtime > changed]
        if fresh:
            found[isa] = max(fresh, key=lambda path: path.stat().st_mtime)
    return found if len(found) == len(ISAS) else None


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """The object file of each instruction set, and the compiler's complaint where there is none."""
    built = built_objects()
    if built:
        return built
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed")
    folder = tmp_path_factory.mktemp("isa")
    cmake = (ROOT / "CMakeLists.txt").read_text()
    jobs = {}
    for isa in ISAS:
        target = folder / f"{isa}.o"
        command = [
            *compiler.split(), "-std=c++17", "-fPIC", "-fvisibility=hidden", "-DNDEBUG", "-w",
            f"-I{SOURCES}", f'-DPYRNN_ISA_NAME="{isa}"',
            f"-DPYRNN_KERNEL_TABLE=kernel_table_{isa}", *flags_of(isa, cmake),
            "-c", str(SOURCES / "isa" / "kernels.cpp"), "-o", str(target),
        ]  # fmt: skip
        jobs[target] = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for target, job in jobs.items():
        _, complaint = job.communicate()
        assert job.returncode == 0, f"{target.name}: {complaint}"
    return {target.stem: target for target in jobs}


@pytest.fixture(params=ISAS)
def isa(request):
    return request.param


def output_of(*command):
    """What a tool prints of an object file; the namespace that all share is left out."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    return done.stdout.replace("pyrnn::(anonymous namespace)::", "")


# --- reading --------------------------------------------------------------------------------


@dataclass
class Instruction:
    address: int
    text: str

    @property
    def multiplies(self):
        return MULTIPLY_ADDS.match(self.text) is not None

    @property
    def jumps_to(self):
        """Where a jump within the function goes; None for other instructions."""
        found = re.match(r"(?:j\w+|b|b\.\w+|cbn?z|tbn?z)\b.*?\b([0-9a-f]+) <", self.text)
        return int(found[1], 16) if found else None


def functions_of(listing):
    """Name and instructions of each function in what ``objdump -d`` prints."""
    name, instructions = None, []
    for line in listing.splitlines():
        head = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
        body = re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line)
        if head:
            if name is not None:
                yield name, instructions
            name, instructions = head[1], []
        elif body:
            instructions.append(Instruction(int(body[1], 16), body[2].strip()))
    if name is not None:
        yield name, instructions


def inner_loops(instructions):
    """The loops with multiply-adds that contain no smaller one: lists of instructions."""
    by_address = {one.address: number for number, one in enumerate(instructions)}
    loops = []
    for end, one in enumerate(instructions):
        begin = by_address.get(one.jumps_to)
        if begin is not None and begin <= end:
            body = instructions[begin : end + 1]
            if any(inner.multiplies for inner in body):
                loops.append((begin, end))
    return [
        instructions[begin : end + 1]
        for begin, end in loops
        if not any(
            (other != (begin, end)) and begin <= other[0] and other[1] <= end for other in loops
        )
    ]


def stack_accesses(instructions, loop):
    """The instructions of a loop that read or write the stack."""
    # %rbp is one register of many, unless the function made it the frame's.
    frame = re.compile(r"(mov\s+%rsp|lea\s+\S*\(%rsp\)),%rbp$")
    framed = any(frame.match(one.text) for one in instructions)
    base = r"\(%rsp|\(%rbp" if framed else r"\(%rsp"
    stack = re.compile(rf"{base}|^(push|pop|call)|\[sp\b|\[x29\b|^bl\b")
    return [one.text for one in loop if stack.search(one.text)]


LISTING = """
0000000000000000 <tile_rows<2>>:
   0:\tpush   %rbp
   1:\tmov    %rsp,%rbp
   4:\tvmovups (%rdi),%ymm0
   8:\tvbroadcastss (%rsi),%ymm2
   c:\tvfmadd231ps -0x20(%rbp),%ymm2,%ymm0
  10:\tjne    8 <tile_rows<2>+0x8>
  12:\tmov    %rax,0x8(%rsp)
  16:\tjne    4 <tile_rows<2>+0x4>
  18:\tret

000000000000001c <other>:
  1c:\tmov    0x8(%rsp),%rbp
  20:\tvmovups 0x20(%rbp),%ymm1
  24:\tvfmadd231ps (%rdi),%ymm1,%ymm0
  28:\tadd    $0x10,%rdi
  2c:\tjne    24 <other+0x4>
  30:\tjmp    20 <other>
"""


def test_stack_accesses_are_found():
    (name, framed), (_, plain) = functions_of(LISTING)
    assert MICRO_KERNELS.search(name)
    (loop,) = inner_loops(framed)
    assert [hex(one.address) for one in loop] == ["0x8", "0xc", "0x10"]
    assert stack_accesses(framed, loop) == ["vfmadd231ps -0x20(%rbp),%ymm2,%ymm0"]
    (loop,) = inner_loops(plain)
    assert [hex(one.address) for one in loop] == ["0x24", "0x28", "0x2c"]
    assert stack_accesses(plain, loop) == []
    assert stack_accesses(plain, plain[1:]) == []


# --- what must hold -------------------------------------------------------------------------


@needs_objdump
def test_no_micro_kernel_touches_the_stack_in_its_inner_loop(objects, isa):
    listing = output_of("objdump", "-d", "-C", "--no-show-raw-insn", objects[isa])
    checked, touching = 0, set()
    for name, instructions in functions_of(listing):
        # A tile of no vectors is compiled too, and does nothing.
        if not MICRO_KERNELS.search(name) or not any(one.multiplies for one in instructions):
            continue
        # Without an instruction for it, widening a float16 takes more registers than there are.
        if isa == "baseline" and "(pyrnn::Storage)2" in name:
            continue
        loops = inner_loops(instructions)
        assert loops, f"{name}: no loop with multiply-adds found"
        checked += 1
        for loop in loops:
            found = stack_accesses(instructions, loop)
            if found:
                touching.add(f"{name}: {found}")
    assert checked >= LEAST_MICRO_KERNELS, (
        f"only {checked} micro-kernels found: what are they called?"
    )
    assert not touching, "\n".join(sorted(touching))


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed")
def test_an_object_exports_its_kernel_table_alone(objects, isa):
    listing = output_of("nm", "-C", objects[isa])
    symbols = re.findall(r"^[0-9a-f ]*\s([A-Za-z])\s(.*)$", listing, re.MULTILINE)
    weak = [name for kind, name in symbols if kind in "wWvVu"]
    exported = [name for kind, name in symbols if kind.isupper() and kind not in "UWV"]
    assert not weak
    assert exported == [f"pyrnn::kernel_table_{isa}()"]
