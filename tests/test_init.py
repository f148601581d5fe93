"""The package's face: its names, its version, and that importing it needs NumPy alone."""

import subprocess
import sys

import pytest

import pyrnn

PUBLIC = [
    "RNN",
    "LSTM",
    "GRU",
    "MinGRU",
    "RNNCell",
    "LSTMCell",
    "GRUCell",
    "Stream",
    "use_backend",
    "set_num_threads",
    "get_num_threads",
    "build_info",
    "release_memory",
    "Linear",
    "Embedding",
    "softmax_cross_entropy",
    "SGD",
    "Adagrad",
    "RMSprop",
    "Adam",
    "AdamW",
    "clip_grad_norm",
    "clip_grad_value",
    "gradcheck",
    "initialize",
    "merge_parameters",
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
    "GradcheckReport",
    "textbook",
    "CharacterModel",
]


def test_public_names():
    assert sorted(pyrnn.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(pyrnn, name) is not None
        assert name in dir(pyrnn)


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'pyrnn' has no attribute 'Transformer'"):
        pyrnn.Transformer  # noqa: B018


def test_version():
    assert pyrnn.__version__
    assert pyrnn.__version__ == pyrnn.build_info()["version"]


def test_importing_needs_numpy_alone():
    code = """
import sys
sys.path[:0] = {path!r}
import numpy
before = set(sys.modules)
import pyrnn
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
outside = new - set(sys.stdlib_module_names) - {{"pyrnn", "numpy"}}
assert not outside, outside
assert "pyrnn.textbook" not in sys.modules
"""
    path = [p for p in sys.path if p]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code.format(path=path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
