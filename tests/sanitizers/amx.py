"""Products of bfloat16 with AMX, whose instructions ``amx.cpp`` computes.

They have to give the bits of the core's software: products of all sizes around those of a tile,
which have the bits of the reference as well, and all calls of each cell's layers. With one thread
and several, from several Python threads, and after a fork. No thread keeps its tiles configured,
and tiles that compute otherwise than AMX are not used.
"""

import argparse
import ctypes
import hashlib
import itertools
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any

import calls
import numpy as np

import pyrnn
from pyrnn.backend import selection

CELLS = calls.CELLS | {
    "lstm-projected-to-tiles": partial(pyrnn.LSTM, proj_size=40),
    "lstm-two-layers": partial(pyrnn.LSTM, num_layers=2),
}
# (time steps, sequences, inputs, units): rows, units and k that are left over; sums over whole
# blocks of rows; all whole; many enough for several threads
SHAPES = [(6, 49, 40, 70), (5, 32, 33, 48), (5, 64, 32, 64), (20, 128, 64, 96)]
# Rows, inputs, outputs of products around a tile; of sums over several blocks and bundles of rows
SIZES = [1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 100]
SHORT_SIZES = [1, 16, 33, 64, 79]
LARGE = [(512, 100, 20), (1100, 40, 96), (9000, 32, 48), (33, 700, 300)]
SPECIAL = [0, -0.0, 1e-39, -1e-20, 1e-25, 1 + 2**-8, 1 + 3 * 2**-8, -1e19, 2**-126]

# As in amx.cpp
INSTRUCTIONS = ["ldtilecfg", "tilerelease", "tileloadd", "tilestored", "tdpbf16ps"]
FLAWS = {
    "keeps subnormal operands": 1,
    "keeps subnormal results": 2,
    "one chain": 3,
    "adds both chains to the sum": 4,
    "swaps its operands": 5,
    "no permission": 6,
}

library = ctypes.CDLL(None)
Digests = dict[str, bytes]


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true", help="fewer sizes")
    parser.add_argument(
        "--count",
        type=int,
        nargs=4,
        metavar=("T", "N", "I", "H"),
        help="count the instructions of an LSTM instead",
    )
    arguments = parser.parse_args()
    if arguments.count:
        in_child("1", count, *arguments.count)
        return 0
    wrong = [name for flaw, value in FLAWS.items() for name in unnoticed(flaw, value)]
    for make in (products, layers):
        begin, short = time.monotonic(), arguments.short
        expected = in_child("0", one_way, make, short)
        found = {"software": expected, **in_child("1", all_ways, make, short)}
        if make is products:
            expected = expected | in_child("0", by_reference, short)
        wrong += [
            f"{way}: {name}"
            for way, digests in found.items()
            for name, digest in digests.items()
            if digest != expected[name]
        ]
        seconds = time.monotonic() - begin
        print(
            f"{len(expected)} {make.__name__} in {len(found)} ways in {seconds:.0f} s", flush=True
        )
    print(f"other bits, or flaws that are not noticed: {wrong or 'none'}")
    return 1 if wrong else 0


def in_child(amx: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a forked child with a value of PYRNN_AMX."""
    os.environ["PYRNN_AMX"] = amx
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result()


def unnoticed(flaw: str, value: int) -> list[str]:
    """Where tiles that compute otherwise than AMX, or not at all, are used all the same."""
    used = in_child("", unit, value) != "software"
    allowed = not in_child("1", unit, value).startswith("PYRNN_AMX: got 1, but")
    return [f"{flaw}: used"] * used + [f"{flaw}: allowed"] * allowed


def unit(flaw: int) -> str:
    """What computes products of bfloat16, or the error that says why not."""
    library.amx_flaw(flaw)
    try:
        return str(pyrnn.build_info()["bfloat16"])
    except RuntimeError as error:
        return str(error)


def products(short: bool) -> dict[str, calls.Call]:
    """Both passes of ``Linear`` of all sizes, with usual numbers and with special ones."""
    sizes = list(itertools.product(SHORT_SIZES if short else SIZES, repeat=3)) + LARGE[short:]
    return {
        f"product {size} {kind}": partial(product, size, kind)
        for size in sizes
        for kind in ("usual", "special", "infinite")
        if kind == "usual" or max(size) <= 100
    }


def product(size: tuple[int, int, int], kind: str) -> Any:
    """Of weights that are packed in the call and before it, then of gradients."""
    rows, inputs, outputs = size
    x, weight, dy = (
        drawn(kind, rows, inputs),
        drawn(kind, outputs, inputs),
        drawn(kind, rows, outputs),
    )
    bias = drawn("usual", outputs)
    backend = selection.current()
    return (
        backend.linear(x, weight, bias, None, "bfloat16"),
        backend.pack_linear(weight, None, "full", "bfloat16")(x),
        backend.linear_backward(x, weight, dy, "bfloat16")[:2],
    )


def drawn(kind: str, *shape: int) -> Any:
    """Normal numbers, of which some are replaced."""
    generator = np.random.default_rng(shape)
    array = generator.standard_normal(shape).astype(np.float32)
    if kind == "special":
        chosen = generator.random(shape) < 0.3
        array[chosen] = generator.choice(SPECIAL, chosen.sum()).astype(np.float32)
    if kind == "infinite":
        array.flat[generator.integers(array.size, size=2)] = [np.inf, np.nan]
    return array


def layers(short: bool) -> dict[str, calls.Call]:
    """All calls of the layers of all cells."""
    found = {}
    for (cell, make), shape in itertools.product(CELLS.items(), SHAPES[:2] if short else SHAPES):
        for name, call in calls.of_shape(partial(narrow, make), *shape, ("bfloat16",)):
            found[f"{cell} {shape} {name}"] = call
        both, x = narrow(make, *shape[2:], bidirectional=True, seed=0), calls.random(*shape[:3])
        found[f"{cell} {shape} directions"] = partial(calls.train, both, x)
    return found


def narrow(make: Callable[..., Any], *sizes: int, **options: Any) -> Any:
    """A layer with products of bfloat16."""
    return make(*sizes, **options).train(compute="bfloat16")


def digest(call: calls.Call) -> bytes:
    """Of the bits of all results. Which NaN a NaN is, AMX leaves open."""
    arrays = (np.frombuffer(one, np.float32) for one in calls.bits(call()))
    return hashlib.sha256(b"".join(np.where(a == a, a, np.nan).tobytes() for a in arrays)).digest()


def one_way(make: Callable[[bool], dict[str, calls.Call]], short: bool) -> Digests:
    """By the core, with one thread."""
    pyrnn.set_num_threads(1)
    return {name: digest(call) for name, call in make(short).items()}


def by_reference(short: bool) -> Digests:
    """By NumPy, where its sums over rows have one block."""
    with pyrnn.use_backend("reference"):
        chosen = {name: call for name, call in products(short).items() if call.args[0][0] <= 512}
        return {name: digest(call) for name, call in chosen.items()}


def all_ways(make: Callable[[bool], dict[str, calls.Call]], short: bool) -> dict[str, Digests]:
    """By the core's AMX: every way of sharing out the calls."""
    ways = {"one thread": one_way(make, short)}
    chosen = list(make(short).items())
    pyrnn.set_num_threads(3)
    ways["three threads"] = {name: digest(call) for name, call in chosen}
    pyrnn.set_num_threads(2)
    random.Random(0).shuffle(chosen)
    with ThreadPoolExecutor(4) as pool:
        digests = pool.map(digest, [call for _, call in chosen])
        ways["four Python threads"] = dict(zip([name for name, _ in chosen], digests, strict=True))
    ways["after a fork"] = in_child("1", forked, dict(chosen[: len(chosen) // 8]))
    check_tiles()
    assert library.amx_threads() > 1
    return ways


def forked(chosen: dict[str, calls.Call]) -> Digests:
    """By a process whose parent has used tiles, with threads of its own."""
    found = {name: digest(call) for name, call in chosen.items()}
    check_tiles()
    return found


def check_tiles() -> None:
    """They were used, and given back."""
    executed = [library.amx_count(kind) for kind in range(len(INSTRUCTIONS))]
    assert min(executed) > 0, executed
    assert executed[0] == executed[1], executed
    assert library.amx_configured_threads() == 0


def count(T: int, N: int, inputs: int, units: int) -> None:
    """Print the instructions of both passes of an LSTM, and the least number of products."""
    pyrnn.set_num_threads(1)
    layer = pyrnn.LSTM(inputs, units, seed=0).train(compute="bfloat16")
    x = calls.random(T, N, inputs)
    assert pyrnn.build_info()["bfloat16"] == "amx"
    executed = [library.amx_count(kind) for kind in range(len(INSTRUCTIONS))]
    results: list[Any] = []
    passes = {
        "forward": (1, lambda: results.extend(layer.forward(x))),
        "backward": (2, lambda: layer.backward(results[2], results[0])),
    }
    for name, (times, run) in passes.items():
        run()
        before = executed
        executed = [library.amx_count(kind) for kind in range(len(INSTRUCTIONS))]
        least = times * T * N * 4 * units * (inputs + units) / (16 * 16 * 32)
        print(f"{name}: at least {least:.0f} of tdpbf16ps")
        for instruction, now, then in zip(INSTRUCTIONS, executed, before, strict=True):
            print(f"  {instruction:<11} {now - then:>9}")


if __name__ == "__main__":
    sys.exit(main())
