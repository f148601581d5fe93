"""The ways in which an object travels: pickles of every kind, files, copies; comparison of bits.

Tests marked ``one_in(n)`` run an nth of their cases, so that each kind of object still travels in
several ways, in both modes, and by each way several kinds: all ways share one code, as all kinds
do. The long form runs all.
"""

import copy
import io
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases of tests that are marked ``one_in(n, **weights)``.

    Those stay whose parameters' indices, times their weights (else 1), add up to a multiple of n.
    """
    if os.environ.get("PYRNN_LONG_TESTS") == "1":
        return
    left_out = [item for item in items if _is_left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("one_in")
    if mark is None:
        return False
    indices: dict[str, int] = item.callspec.indices  # type: ignore[attr-defined]
    total = sum(index * mark.kwargs.get(name, 1) for name, index in indices.items())
    return bool(total % mark.args[0])


def by_pickle(protocol: int, thing: Any, folder: Path) -> tuple[Any, Callable[[], object]]:
    data = pickle.dumps(thing, protocol)
    return pickle.loads(data), lambda: bytes(data)


def out_of_band(container: Callable[[Any], Any], thing: Any, folder: Path) -> Any:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    given = [container(buffer.raw()) for buffer in buffers]
    return pickle.loads(data, buffers=given), lambda: [bytes(buffer) for buffer in given]


def same_buffers(thing: Any, folder: Path) -> Any:
    """Without a process in between, the buffers are the memory of the original."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=buffers), lambda: None


def by_joblib(mmap_mode: str | None, compress: int, thing: Any, folder: Path) -> Any:
    joblib = pytest.importorskip("joblib")
    path = folder / "thing.joblib"
    joblib.dump(thing, path, compress=compress)
    return joblib.load(path, mmap_mode=mmap_mode), path.read_bytes


def by_torch(thing: Any, folder: Path) -> Any:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False), lambda: None


def by_cloudpickle(thing: Any, folder: Path) -> Any:
    data = pytest.importorskip("cloudpickle").dumps(thing)
    return pickle.loads(data), lambda: None


PICKLES: dict[str, Callable[[Any, Path], tuple[Any, Callable[[], object]]]] = {
    **{f"protocol {n}": partial(by_pickle, n) for n in range(6)},
    "out of band, read-only": partial(out_of_band, bytes),
    "out of band, writeable": partial(out_of_band, bytearray),
    "out of band, the same buffers": same_buffers,
    **{f"joblib {mode}": partial(by_joblib, mode, 0) for mode in (None, "r", "r+", "c")},
    "joblib compressed": partial(by_joblib, None, 3),
    "torch": by_torch,
    "cloudpickle": by_cloudpickle,
}
COPIES = {
    "deepcopy": lambda thing, folder: (copy.deepcopy(thing), lambda: None),
    "copy": lambda thing, folder: (copy.copy(thing), lambda: None),
}


@pytest.fixture(params=PICKLES.values(), ids=PICKLES)
def pickle_way(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Any]:
    """``pickle_way(thing)``: what comes back, and a function that reads what it was made from."""
    return lambda thing: request.param(thing, tmp_path)


@pytest.fixture(params=(PICKLES | COPIES).values(), ids=PICKLES | COPIES)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Any]:
    """As `pickle_way`; copies as well."""
    return lambda thing: request.param(thing, tmp_path)


TOGETHER = PICKLES | {"deepcopy": COPIES["deepcopy"]}


@pytest.fixture(params=TOGETHER.values(), ids=TOGETHER)
def way_together(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Any]:
    """As `way`, for several objects in a list or dict, of which `copy.copy` copies nothing else."""
    return lambda things: request.param(things, tmp_path)


@pytest.fixture(scope="session")
def assert_same_bits() -> Callable[[Any, Any], None]:
    """``assert_same_bits(got, expected)`` of arrays in tuples, lists and dicts."""

    def flat(results: Any) -> list[Any]:
        if isinstance(results, dict):
            results = list(results.values())
        if isinstance(results, (tuple, list)):
            return [array for part in results for array in flat(part)]
        return [] if results is None else [results]

    def check(got: Any, expected: Any) -> None:
        for one, other in zip(flat(got), flat(expected), strict=True):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes()

    return check


@pytest.fixture(scope="session")
def assert_own() -> Callable[[Any, Any], None]:
    """``assert_own(arrays, originals)``: plain, as writeable as the originals, sharing nothing."""

    def check(arrays: Any, originals: Any) -> None:
        for array, other in zip(arrays, originals, strict=True):
            assert type(array) is np.ndarray
            assert array.flags.owndata
            assert array.flags.writeable == other.flags.writeable
            assert not any(np.shares_memory(array, each) for each in originals)
            assert not any(np.shares_memory(array, each) for each in arrays if each is not array)

    return check
