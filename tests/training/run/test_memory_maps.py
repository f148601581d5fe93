"""Pages of memory maps are given back while they are read, and only where nothing can be lost."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from pyrnn.training.run import _memory_maps
from pyrnn.training.run._memory_maps import Columns
from pyrnn.training.run.batches import Sequences, TokenStreams, Window

LINUX = pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="needs Linux's figures of single maps"
)


def resident(path: Path) -> int:
    """Bytes of a file that are mapped into this process and in memory."""
    total, here = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first:
            here = line.endswith(str(path))
        elif here and first == "Rss:":
            total += 1024 * int(line.split()[1])
    return total


@LINUX
def test_a_whole_pass_keeps_little_in_memory(tmp_path: Path) -> None:
    path, size = tmp_path / "tokens", 48 << 20
    np.tile(np.arange(256, dtype=np.uint8), size // 256).tofile(path)
    tokens = np.memmap(path, np.uint8, "r")
    data = TokenStreams(tokens, 16, Window(1 << 13, 1 << 13))
    most = 0
    for number, item in enumerate(data.items(None)):
        assert data.load(item).targets.max() == 255
        if number % 16 == 15:
            most = max(most, resident(path))
    assert most < 8 << 20
    assert int(tokens[-1]) == 255
    assert resident(path) > 0  # as a single number that is read, without that care


@pytest.mark.parametrize("mode", ["c", "r+", "r"])
def test_no_change_is_lost(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory_maps, "AHEAD_BYTES", 10)
    path = tmp_path / "tokens"
    np.zeros(1 << 16, np.uint8).tofile(path)
    tokens = np.memmap(path, np.uint8, mode)  # type: ignore[call-overload]
    if mode != "r":
        tokens[:] = 7
    columns = Columns(tokens.reshape(4, -1))
    for begin in range(0, 100, 7):
        assert columns.read(begin, begin + 7).shape == (4, 7)
    assert set(tokens.tolist()) == {0 if mode == "r" else 7}


@LINUX
def test_batches_of_sequences_keep_little_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    np.zeros(24 << 18, np.float32).tofile(path)
    x = np.memmap(path, np.float32, "r", shape=(96, 1 << 12, 16))
    data = Sequences(x, np.zeros(96), 4, each_step=False, dtype=np.dtype("float32"))
    for item in data.items(None):
        assert data.load(item).x.shape == (1 << 12, 4, 16)
        assert resident(path) == 0


@pytest.mark.parametrize("ahead", [1, 40, 1 << 22])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_are_the_columns(
    ahead: int, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_memory_maps, "AHEAD_BYTES", ahead)
    array = np.random.default_rng(0).integers(0, 256, (3, 50)).astype(dtype)
    array.tofile(tmp_path / "tokens")
    mapped = np.memmap(tmp_path / "tokens", dtype, "r", shape=(3, 50))
    for columns in (Columns(array), Columns(mapped), pickle.loads(pickle.dumps(Columns(array)))):
        for begin, end in [(0, 5), (5, 10), (3, 11), (11, 50), (49, 50), (0, 50), (20, 20)]:
            assert np.array_equal(columns.read(begin, end), array[:, begin:end])
