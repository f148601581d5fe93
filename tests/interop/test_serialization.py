"""Model files: what is saved comes back, and what is no model file is refused in one line."""

import errno
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import serialization
from pyrnn.interop.serialization import ModelFileError
from pyrnn.text.character_model import CharacterModel

pytest.importorskip("safetensors")

MODELS: dict[str, Callable[[], Any]] = {
    "lstm model": lambda: CharacterModel("abé\n\"'€😀", hidden_size=4, seed=0),
    "gru model": lambda: CharacterModel("ab", "gru", 3, 2, 5, 0.25, dtype="float64", seed=0),
    "rnn model": lambda: CharacterModel("ab", "rnn", 3, seed=0),
    "rnn": lambda: pyrnn.RNN(3, 4, nonlinearity="relu", bias=False, seed=0),
    "lstm": lambda: pyrnn.LSTM(3, 4, 2, batch_first=True, dropout=0.5, seed=0),
    "gru": lambda: pyrnn.GRU(3, 4, bidirectional=True, dtype="float64", seed=0),
    "projected lstm": lambda: pyrnn.LSTM(1, 40, 3, bias=False, proj_size=1, seed=0),
    "coupled lstm": lambda: pyrnn.LSTM(3, 4, peephole=True, coupled=True, seed=0),
    "normalised lstm": lambda: pyrnn.LSTM(3, 4, layer_norm=True, zoneout=(0.1, 0.5), seed=0),
    "noisy rnn": lambda: pyrnn.RNN(3, 4, recurrent_dropout=0.25, zoneout=0.5, seed=0),
    "reset before": lambda: pyrnn.GRU(3, 4, reset_after=False, seed=0),
    "normalised gru": lambda: pyrnn.GRU(3, 4, layer_norm=True, seed=0),
    "rnn cell": lambda: pyrnn.RNNCell(3, 4, nonlinearity="relu", seed=0),
    "lstm cell": lambda: pyrnn.LSTMCell(3, 4, proj_size=2, peephole=True, seed=0),
    "gru cell": lambda: pyrnn.GRUCell(3, 4, bias=False, reset_after=False, seed=0),
    "linear": lambda: pyrnn.Linear(3, 4, bias=False, dtype="float64", seed=0),
    "embedding": lambda: pyrnn.Embedding(3, 4, seed=0),
    "min gru": lambda: pyrnn.MinGRU(1, 40, bias=False, zoneout=0.5, seed=0),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header and the data of a file, read by hand."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what pyrnn wrote about the model; the tensors stay."""
    header, data = parts(path)
    description = json.loads(header["__metadata__"]["pyrnn"])
    change(description)
    header["__metadata__"]["pyrnn"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class TestRoundTrip:
    @pytest.mark.parametrize("name", MODELS)
    def test_everything_comes_back(self, name: str, path: Path) -> None:
        model = MODELS[name]()
        serialization.save(model, path)
        loaded: Any = serialization.load(path)
        assert type(loaded) is type(model)
        assert repr(loaded) == repr(model)
        assert list(loaded.parameters) == list(model.parameters)
        for key, array in model.parameters.items():
            np.testing.assert_array_equal(loaded.parameters[key], array)
            assert loaded.parameters[key].dtype == array.dtype
        assert loaded.training

    @pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
    def test_older_versions_read_what_needs_no_newer_option(self, name: str, path: Path) -> None:
        serialization.save(MODELS[name](), path)
        header, _ = parts(path)
        arguments = json.loads(header["__metadata__"]["pyrnn"])["arguments"]
        first = {"input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout"}
        first |= {"bidirectional", "dtype"} | ({"nonlinearity"} if name == "rnn" else set())
        assert set(arguments) <= first | {"seed"}

    def test_how_a_layer_was_made_comes_back(self, path: Path) -> None:
        layer = pyrnn.LSTM(3, 4, seed=7, initialization="orthogonal", forget_bias=1.0, dropout=0.0)
        serialization.save(layer, path)
        loaded: Any = serialization.load(path)
        assert loaded.get_params() == layer.get_params()
        assert repr(loaded) == "LSTM(3, 4)"

    def test_model_arguments_come_back(self, path: Path) -> None:
        model = MODELS["gru model"]()
        serialization.save(model, path)
        loaded = serialization.load_character_model(path)
        assert loaded.vocabulary == model.vocabulary
        assert loaded.embedding_dim == 5
        assert loaded.rnn.dropout == 0.25
        assert loaded.sample("ab", 20, seed=0) == model.sample("ab", 20, seed=0)

    def test_eval_mode_and_later_changes(self, path: Path) -> None:
        layer = MODELS["gru"]().eval()
        serialization.save(layer, path)
        loaded: Any = serialization.load(path)
        loaded.parameters["bias_ih_l0"] = np.ones(12)
        serialization.save(loaded, path)
        again: Any = serialization.load(path)
        assert (again.parameters["bias_ih_l0"] == 1).all()

    def test_same_model_same_bytes(self, path: Path) -> None:
        contents = set()
        for _ in range(5):
            serialization.save(MODELS["gru model"](), path)
            contents.add(path.read_bytes())
        assert len(contents) == 1

    def test_plain_safetensors(self, path: Path) -> None:
        from safetensors.numpy import load_file

        model = MODELS["lstm model"]()
        serialization.save(model, path)
        tensors = load_file(path)
        np.testing.assert_array_equal(
            tensors["rnn.weight_hh_l0"], model.rnn.parameters["weight_hh_l0"]
        )
        header, _ = parts(path)
        description = json.loads(header["__metadata__"]["pyrnn"])
        assert description["version"] == serialization.FORMAT_VERSION
        assert description["kind"] == "CharacterModel"
        assert description["arguments"]["vocabulary"] == model.vocabulary.characters


class TestRefusedFiles:
    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(ModelFileError, match=message) as caught:
            serialization.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    def test_missing(self, path: Path) -> None:
        self.refused(path, r"cannot be read \(there is no such file\)$")

    def test_folder(self, tmp_path: Path) -> None:
        self.refused(tmp_path, r"cannot be read \(it is a folder\)$")

    def test_truncated_anywhere(self, path: Path) -> None:
        serialization.save(MODELS["rnn"](), path)
        whole = path.read_bytes()
        for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            self.refused(path, "expected a whole .safetensors file, got another or a truncated one")

    @pytest.mark.parametrize("data", [b"just text\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(200)])
    def test_other_data(self, data: bytes, path: Path) -> None:
        path.write_bytes(data)
        self.refused(path, "expected a whole .safetensors file")

    def test_other_safetensors(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"weight": np.zeros((2, 2), np.float32)}, path)
        self.refused(path, "expected a model saved by pyrnn, got another .safetensors file")
        save_file({"weight": np.zeros((2, 2), np.float32)}, path, {"format": "pt"})
        self.refused(path, "got another .safetensors file")
        save_file({"weight": np.zeros((2, 2), np.float32)}, path, {"pyrnn": "no json"})
        self.refused(path, "expected JSON from pyrnn")
        save_file({"weight": np.zeros((2, 2), np.float32)}, path, {"pyrnn": "[1]"})
        self.refused(path, "expected JSON from pyrnn")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"version": 2}, "expected format version 1 or older, got 2: a newer pyrnn"),
            ({"version": "1"}, "expected metadata from pyrnn, got version '1'"),
            ({"version": 0}, "expected metadata from pyrnn, got version 0"),
            ({"kind": "Transformer"}, "expected one of CharacterModel, RNN, .* got 'Transformer'"),
            ({"kind": ["RNN"]}, r"expected one of .* got \['RNN'\]"),
            ({"arguments": 3}, "expected metadata from pyrnn"),
        ],
    )
    def test_description(self, change: dict[str, Any], message: str, path: Path) -> None:
        serialization.save(MODELS["lstm model"](), path)
        rewrite(path, lambda description: description.update(change))
        self.refused(path, message)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"hidden_size": 3},
                r"rnn.weight_ih_l0: expected F32 of shape \(12, 8\), got F32 .*16",
            ),
            ({"hidden_size": 10**6}, "expected sizes that fit the tensors"),
            ({"num_layers": 10**9}, "expected sizes that fit the tensors"),
            ({"embedding_dim": 10**9}, "expected sizes that fit the tensors"),
            ({"hidden_size": "4"}, "hidden_size: expected a whole number above 0, got '4'"),
            ({"num_layers": 0}, "num_layers: expected a whole number above 0, got 0"),
            ({"cell": "elman"}, "cell: expected one of rnn, lstm, gru, mingru, got 'elman'"),
            ({"vocabulary": "aa"}, "got 'a' twice"),
            ({"vocabulary": "ab"}, "rnn.weight_ih_l0: expected F32 of shape"),
            ({"vocabulary": None}, "vocabulary: expected a string"),
            ({"dtype": "float64"}, "rnn.weight_ih_l0: expected F64 .* got F32"),
            ({"attention": True}, "attention"),
            ({"embedding_dim": 2}, "expected a tensor 'embedding.weight', got none"),
        ],
    )
    def test_arguments(self, change: dict[str, Any], message: str, path: Path) -> None:
        serialization.save(MODELS["lstm model"](), path)
        rewrite(path, lambda description: description["arguments"].update(change))
        self.refused(path, message)

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("projected lstm", {"proj_size": 10**6}, "expected sizes that fit the tensors"),
            ("projected lstm", {"proj_size": "1"}, "proj_size: expected a whole number above 0"),
            ("projected lstm", {"proj_size": 2}, r"weight_hh_l0: expected F32 of shape \(160, 2\)"),
            ("min gru", {"hidden_size": 10**6}, "expected sizes that fit the tensors"),
            ("min gru", {"num_layers": 10**6}, "expected sizes that fit the tensors"),
            ("min gru", {"recurrent_dropout": 0.5}, "recurrent_dropout: expected 0"),
            ("coupled lstm", {"layer_norm": True}, "layer_norm, peephole: expected at most one"),
            ("reset before", {"layer_norm": True}, "layer_norm, reset_after: expected"),
            ("normalised lstm", {"zoneout": [0.5]}, r"zoneout: .* the pair \(p_h, p_c\)"),
        ],
    )
    def test_options(self, name: str, change: dict[str, Any], message: str, path: Path) -> None:
        serialization.save(MODELS[name](), path)
        rewrite(path, lambda description: description["arguments"].update(change))
        self.refused(path, message)

    def test_tensors(self, path: Path) -> None:
        from safetensors.numpy import load_file, save_file

        serialization.save(MODELS["lstm model"](), path)
        metadata, tensors = parts(path)[0]["__metadata__"], load_file(path)
        save_file(tensors | {"extra": np.zeros(2, np.float32)}, path, metadata)
        self.refused(path, "expected no tensor 'extra'$")
        save_file({n: t for n, t in tensors.items() if n != "linear.bias"}, path, metadata)
        self.refused(path, "expected a tensor 'linear.bias', got none$")
        save_file(tensors | {"linear.bias": np.zeros(3, np.float32)}, path, metadata)
        self.refused(path, r"linear.bias: expected F32 of shape \(8,\), got F32 of shape \(3,\)$")
        save_file(tensors | {"linear.bias": np.full(8, np.nan, np.float32)}, path, metadata)
        self.refused(path, "linear.bias: expected finite numbers, got NaN or infinity$")

    def test_another_kind(self, path: Path) -> None:
        serialization.save(MODELS["gru"](), path)
        with pytest.raises(ModelFileError, match=r"expected a CharacterModel, got GRU$"):
            serialization.load_character_model(path)


class Scale(pyrnn.Layer):
    """A layer of one's own, which a file cannot describe."""


class TestSave:
    def test_what_cannot_be_saved(self, path: Path) -> None:
        with pytest.raises(TypeError, match=r"model: expected one of CharacterModel.*, got Scale"):
            serialization.save(Scale({}), path)
        layer = MODELS["rnn"]()
        layer.parameters["weight_ih_l0"] = np.full((4, 3), np.inf, np.float32)
        with pytest.raises(ValueError, match=r"weight_ih_l0: expected finite numbers, got NaN or"):
            serialization.save(layer, path)
        assert not path.exists()

    def test_halves_of_characters(self, path: Path) -> None:
        for characters in ("\ud83d", "\ude00\ud83d", "\ud83da\ude00", "\ud83d\ud83e"):
            serialization.save(CharacterModel(characters, hidden_size=2), path)
            loaded = serialization.load_character_model(path)
            assert loaded.vocabulary.characters == characters
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"^vocabulary: expected characters that JSON keeps"):
            serialization.save(CharacterModel("\ud83d\ude00", hidden_size=2), path)
        assert path.read_bytes() == before

    def test_missing_package(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "safetensors", None)
        message = r"^safetensors is not installed; pip install 'pyrnn\[safetensors\]' brings it$"
        with pytest.raises(ImportError, match=message):
            serialization.save(MODELS["rnn"](), path)
        with pytest.raises(ImportError, match=message):
            serialization.load(path)

    @pytest.mark.parametrize("function", ["replace", "fsync"])
    def test_failure_leaves_the_old_file(
        self, function: str, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serialization.save(MODELS["rnn"](), path)
        before = path.read_bytes()

        def fail(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, function, fail)
        with pytest.raises(OSError, match=r"No space left"):
            serialization.save(MODELS["gru"](), path)
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]

    def test_link_stays(self, path: Path) -> None:
        target = path.with_name("elsewhere.safetensors")
        path.symlink_to(target)
        serialization.save(MODELS["rnn"](), path)
        assert path.is_symlink()
        assert repr(serialization.load(target)) == repr(MODELS["rnn"]())

    def test_check_writable(self, tmp_path: Path, path: Path) -> None:
        serialization.check_writable(path)
        assert not path.exists()
        path.write_bytes(b"good")
        serialization.check_writable(path)
        assert path.read_bytes() == b"good"
        for place, reason in [
            (tmp_path, "it is a folder"),
            (tmp_path / "nowhere" / "model", "there is no folder"),
            (path / "model", "there is no folder"),
            (Path(os.devnull), "it is no regular file"),
            (tmp_path / ("x" * 300), "too long"),
        ]:
            with pytest.raises(OSError, match=reason):
                serialization.check_writable(place)
        assert os.listdir(tmp_path) == [path.name]

    def test_read_only_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(b"good")
        # As for a user who is not root, for whom permissions do not count.
        monkeypatch.setattr(os, "access", lambda target, mode: False)
        with pytest.raises(PermissionError, match=r"it is read-only"):
            serialization.check_writable(path)
