"""Models whose parameters are views of their file: the same results, memory that is shared."""

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyrnn

MODELS = {
    "layer": lambda: pyrnn.LSTM(3, 40, num_layers=2, bidirectional=True, proj_size=5, seed=0),
    "float64": lambda: pyrnn.GRU(3, 8, dtype="float64", seed=0),
    "normalised": lambda: pyrnn.GRU(3, 8, layer_norm=True, dropout=0.0, seed=0),
    "cell": lambda: pyrnn.LSTMCell(3, 8, seed=0),
    "embedding": lambda: pyrnn.Embedding(7, 3, seed=0),
    "convolution": lambda: pyrnn.Conv1d(3, 4, 2, seed=0),
    "text": lambda: pyrnn.CharacterModel("abc", hidden_size=8, embedding_dim=4, seed=0),
    "composition": lambda: pyrnn.Sequential(
        first=pyrnn.Sequential(rnn=pyrnn.GRU(3, 8, seed=0), norm=pyrnn.LayerNorm(8)),
        last=pyrnn.LastStep(),
        out=pyrnn.Linear(8, 2, seed=1),
    ),
    "nothing": pyrnn.LastStep,
}


def check_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes(), name


def base_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base


@pytest.fixture
def saved(tmp_path):
    """Saves a model; its file."""

    def save(model, **arguments):
        path = tmp_path / "model.safetensors"
        pyrnn.save(model, path, **arguments)
        return path

    return save


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_parameters_are_views_with_the_same_bits(make, saved):
    model = make()
    loaded = pyrnn.load(saved(model), mmap=True)
    assert type(loaded) is type(model)
    check_same_bits(loaded.parameters, model.parameters)
    assert all(array.flags.writeable for array in loaded.parameters.values())
    views = {name for name, array in loaded.parameters.items() if base_of(array) is not None}
    assert views == {name for name in model.parameters if "norm." not in name}


def test_calls_and_training_go_on_as_usual(saved):
    model, x = pyrnn.GRU(3, 40, seed=0), np.ones((5, 2, 3), np.float32)
    path = saved(model)
    before = path.read_bytes()
    loaded = pyrnn.load(path, mmap=True)
    assert np.array_equal(loaded.eval()(x)[0], model.eval()(x)[0])
    for layer in (model.train(), loaded.train()):
        y, _, cache = layer.forward(x)
        pyrnn.Adam(layer.parameters, lr=0.1).step(layer.backward(cache, y)[2])
    check_same_bits(loaded.parameters, model.parameters)
    check_same_bits(copy.deepcopy(loaded).parameters, model.parameters)
    check_same_bits(pickle.loads(pickle.dumps(loaded)).parameters, model.parameters)
    assert path.read_bytes() == before, "the file never changes"


def test_a_changed_model_travels_with_its_changes(saved):
    """joblib sends the name of a file for an array of a memory map: these are not such arrays."""
    joblib = pytest.importorskip("joblib")
    loaded = pyrnn.load(saved(pyrnn.GRU(3, 300, seed=0)), mmap=True)
    loaded.parameters["weight_hh_l0"] = np.zeros((900, 300), np.float32)
    (sums,) = joblib.Parallel(n_jobs=2, max_nbytes=1000)(
        [joblib.delayed(sum_of)(loaded.parameters["weight_hh_l0"])]
    )
    assert sums == 0.0


def sum_of(array):
    return float(np.abs(array).sum())


def test_saving_over_the_file_leaves_a_loaded_model(saved):
    first = pyrnn.Linear(300, 300, seed=0)
    loaded = pyrnn.load(saved(first), mmap=True)
    saved(pyrnn.Linear(300, 300, seed=1))
    assert np.array_equal(loaded.parameters["weight"], first.parameters["weight"])


def test_narrow_parameters_are_read(saved):
    loaded = pyrnn.load(saved(pyrnn.GRU(3, 8, seed=0), weights="bfloat16"), mmap=True)
    assert base_of(loaded.parameters["weight_hh_l0"]) is None


@pytest.mark.parametrize("wrong", [1, "r", None])
def test_refused(wrong, saved):
    with pytest.raises(TypeError, match="mmap: expected"):
        pyrnn.load(saved(pyrnn.Linear(3, 4)), mmap=wrong)


def test_damaged_files_are_refused(saved):
    path = saved(pyrnn.Linear(30, 40, seed=0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(pyrnn.serialization.ModelFileError, match="truncated"):
        pyrnn.load(path, mmap=True)
    path.write_bytes(whole[:-4] + b"\xff\xff\xff\x7f")
    with pytest.raises(pyrnn.serialization.ModelFileError, match="NaN"):
        pyrnn.load(path, mmap=True)


WORKER = """
import sys
import pyrnn
model = pyrnn.load(sys.argv[1], mmap=sys.argv[2] == "True")
print(sum(float(a.sum()) for a in model.parameters.values()), flush=True)  # every page is read
sys.stdin.read()
"""


def private_bytes(process):
    """What a process has of memory that no other one uses."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return 1024 * sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE)))


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux's smaps")
def test_processes_share_the_file(saved):
    """Two workers with a model of 32 MB have it once; without a map each has its own."""
    path = saved(pyrnn.Linear(4096, 2048, seed=0))
    used = {}
    for mapped in (False, True):
        workers = [
            subprocess.Popen(
                [sys.executable, "-P", "-c", WORKER, str(path), str(mapped)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for _ in range(2)
        ]  # fmt: skip
        try:
            sums = {worker.stdout.readline() for worker in workers}
            assert len(sums) == 1
            assert sums != {b""}
            used[mapped] = [private_bytes(worker) for worker in workers]
        finally:
            for worker in workers:
                worker.communicate()
    assert max(used[True]) < min(used[False]) - (30 << 20), used
