"""Calls from several Python threads at once, for ThreadSanitizer to watch.

All threads go through all calls, each in an order of its own, over the same layers; meanwhile the
number of threads of the core changes. One stream is shared. Results are compared bit by bit.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import calls

import pyrnn

THREADS = 4


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", nargs="*", default=list(calls.CELLS))
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    chosen = {
        name: call
        for name, call in calls.all_calls().items()
        if name.split()[0] in [*arguments.cells, *calls.REST]
    }
    pyrnn.set_num_threads(1)
    expected = {name: calls.bits(call()) for name, call in chosen.items()}
    done = threading.Event()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        changing = pool.submit(change_threads, done)
        shared = [pyrnn.GRU(4, units, seed=0).eval().stream(2) for units in (8, 200)]
        futures = [
            pool.submit(go_through, seed, chosen, expected, shared, arguments.rounds)
            for seed in range(THREADS)
        ]
        try:
            wrong = [name for future in futures for name in future.result()]
        finally:
            done.set()
        changing.result()
    print(f"{len(chosen)} calls from {THREADS} threads; other bits: {sorted(set(wrong)) or 'none'}")
    return 1 if wrong else 0


def change_threads(done: threading.Event) -> None:
    """Change how many threads the core has, until it is done."""
    while not done.is_set():
        for count in (1, 4, 2, 3):
            pyrnn.set_num_threads(count)
            time.sleep(0.02)


def go_through(
    seed: int,
    chosen: dict[str, calls.Call],
    expected: dict[str, list[bytes]],
    shared: list[pyrnn.Stream],
    rounds: int,
) -> list[str]:
    """Make all calls in an order of this thread's; returns which gave other bits."""
    wrong, order = [], list(chosen) * rounds
    random.Random(seed).shuffle(order)
    for place, name in enumerate(order):
        if calls.bits(chosen[name]()) != expected[name]:
            wrong.append(name)
        for stream in shared:
            use(stream, place)
        with pyrnn.use_backend("reference" if place % 16 == 0 else "native"):
            pyrnn.softmax_cross_entropy(calls.random(2, 3), [0, 1])
    return wrong


def use(stream: pyrnn.Stream, place: int) -> None:
    """Steps, state and all of a stream that others use as well."""
    uses: list[Callable[[], object]] = [
        lambda: stream.step(calls.random(2, 4)),
        lambda: stream.state,
        stream.reset,
    ]
    uses[min(place % 8, 2)]()


if __name__ == "__main__":
    sys.exit(main())
