"""Models as C: built by the compilers that are there, without a warning, they compute the same."""

import contextlib
import ctypes
import errno
import importlib
import io
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

import pyrnn
from pyrnn import _files
from pyrnn._number_formats.narrow import is_narrow, widened
from pyrnn.interop.c import export
from tests.interop.c.building import ARM, ARM_RUN, COMPILERS, FLAGS, largest_error, make
from tests.interop.c.models import DOUBLE, LAYERS, drawn_layer, moved

if not COMPILERS:
    pytest.skip("needs a C compiler", allow_module_level=True)


@pytest.mark.parametrize(
    ("kind", "compiler"),
    [(kind, COMPILERS[0]) for kind in LAYERS]
    + [
        (kind, other) for kind in ("lstm norm", "sequence", "characters") for other in COMPILERS[1:]
    ],
)
def test_it_computes_what_the_layer_computes(tmp_path, kind, compiler):
    for name, more in (("single", {}), ("twice", DOUBLE)):
        model = moved(LAYERS[kind](**more))
        made = export(model, tmp_path / name, name=name)
        done = make(tmp_path / name, compiler)
        assert done.returncode == 0, done.stderr + done.stdout
        size = 8 if more else 4
        numbers = model.num_parameters + sum(a.size for a in getattr(model, "buffers", {}).values())
        assert made.flash <= size * numbers
        assert largest_error(done) <= (1e-13 if more else 1e-5)


@pytest.mark.skipif(not shutil.which(ARM), reason="needs gcc-arm-linux-gnueabihf")
@pytest.mark.skipif(not shutil.which("qemu-arm"), reason="needs qemu-user")
@pytest.mark.parametrize("kind", ["lstm", "gru norm", "sequence", "characters"])
def test_on_a_processor_of_32_bits(tmp_path, kind):
    export(moved(LAYERS[kind]()), tmp_path)
    done = make(tmp_path, ARM, run=ARM_RUN)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.long
def test_drawn_layers(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(200):
        layer = moved(drawn_layer(generator, int(generator.integers(1, 20))))
        export(layer, tmp_path / str(number))
        done = make(tmp_path / str(number), COMPILERS[number % len(COMPILERS)])
        assert done.returncode == 0, f"{layer!r}\n{done.stderr}{done.stdout}"


@pytest.mark.parametrize(
    ("weights", "more"),
    [("bfloat16", DOUBLE), ("float64", {}), ("int8", DOUBLE), ("float32", DOUBLE), ("int7", {})],
)
def test_formats_that_are_refused(tmp_path, weights, more):
    with pytest.raises(ValueError, match="weights: expected"):
        export(pyrnn.Linear(2, 2, **more), tmp_path / "new", weights=weights)
    layer = pyrnn.Linear(2, 2, seed=0)
    assert export(layer, tmp_path / "32", weights="float32").flash == 24
    layer.parameters["weight"][0, 0] = 1e5
    with pytest.raises(ValueError, match="a format that can hold the weights, got 'float16'"):
        export(layer, tmp_path / "new", weights="float16")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("kind", "weights", "compiler"),
    [
        *((kind, "bfloat16", COMPILERS[0]) for kind in ("lstm", "gru", "characters")),
        *(("sequence", "float16", compiler) for compiler in COMPILERS),
    ],
)
def test_weights_of_16_bits(tmp_path, kind, weights, compiler):
    """They are widened when they are read, and give what pyrnn gives with them."""
    model = moved(LAYERS[kind]())
    full = export(model, tmp_path / "full")
    made = export(model, tmp_path, weights=weights)
    done = make(tmp_path, compiler)
    assert done.returncode == 0, done.stderr + done.stdout
    assert largest_error(done) <= 1e-5
    sizes = [array.size for name, array in model.parameters.items() if is_narrow(name, array)]
    assert full.flash - made.flash == 2 * sum(sizes)
    outputs = [(tmp_path / f / "test_model.c").read_text() for f in ("full", ".")]
    assert outputs[0] != outputs[1]
    assert model.training
    if kind != "characters":
        x = np.random.default_rng(0).standard_normal((25, 3)).astype(np.float32)
        x = x if kind != "sequence" else np.random.default_rng(0).integers(0, 11, 25)
        y = model.eval(weights=weights)(x)
        y = y[0] if isinstance(y, tuple) else y
        last = re.findall(r"[-+\d.e]+(?=f)", outputs[1])[-y.shape[-1] :]
        np.testing.assert_allclose(np.array(last, float), y if y.ndim == 1 else y[-1], atol=1e-6)


@pytest.mark.parametrize("weights", ["bfloat16", "float16"])
def test_all_numbers_of_16_bits(tmp_path, weights):
    bits = np.arange(1 << 16, dtype=np.uint16)
    values = widened(weights, bits)
    values = values[np.isfinite(values) & ((values == 0) | (np.abs(values) > 1e-37))]
    layer = pyrnn.Embedding(1, len(values))
    layer.parameters["weight"] = values[None]
    export(layer, tmp_path, weights=weights)
    command = [COMPILERS[0], *FLAGS.split(), "-shared", "-fPIC", "model.c", "-o", "model.so"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    y = np.zeros_like(values)
    step = ctypes.CDLL(str(tmp_path / "model.so")).model_step
    state = ctypes.create_string_buffer(8)
    assert step(state, ctypes.c_size_t(0), y.ctypes.data_as(ctypes.POINTER(ctypes.c_float))) == 0
    assert y.tobytes() == values.tobytes()


def test_weights_that_eval_stored_in_16_bits(tmp_path):
    """What is exported, and tested, are the parameters themselves."""
    export(moved(pyrnn.GRU(3, 20, seed=0)).eval(weights="bfloat16"), tmp_path)
    done = make(tmp_path, COMPILERS[0])
    assert done.returncode == 0, done.stderr + done.stdout
    assert largest_error(done) <= 1e-5


def test_its_test_can_fail(tmp_path):
    """A weight that is another one is noticed."""
    export(pyrnn.GRU(3, 4, seed=0), tmp_path)
    source = tmp_path / "model.c"
    changed = source.read_text().replace("tanhf(a[j] +", "tanhf(a[units + j] +")
    assert changed != source.read_text()
    source.write_text(changed)
    done = make(tmp_path, COMPILERS[0])
    assert done.returncode != 0
    assert "largest error" in done.stdout


MAIN = """
#include <stdio.h>
#include "words.h"
int main(void)
{
    words_state one, other;
    float y[WORDS_OUTPUT_SIZE], z[WORDS_OUTPUT_SIZE];
    words_init(&one);
    words_init(&other);
    (void)words_step(&one, 1, y);
    (void)words_step(&other, 0, z);
    printf("%d ", words_step(&one, WORDS_INPUT_SIZE, y));
    (void)words_step(&other, 1, z);
    words_reset(&other);
    (void)words_step(&other, 1, z);
    for (size_t i = 0; i < WORDS_OUTPUT_SIZE; ++i) printf("%d ", y[i] == z[i]);
    printf("%lu\\n", words_vocabulary[2]);
    return 0;
}
"""


def test_states_of_their_own_and_indices_that_are_none(tmp_path):
    export(pyrnn.CharacterModel("abé", hidden_size=4, seed=0), tmp_path, name="words")
    (tmp_path / "main.c").write_text(MAIN)
    compiler = COMPILERS[0]
    command = [compiler, *FLAGS.split(), "main.c", "words.c", "-lm", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "1 1 1 1 233\n"


def test_it_is_c_plus_plus_too(tmp_path):
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    export(pyrnn.LSTM(3, 4, seed=0), tmp_path)
    command = ["g++", "-fsyntax-only", "-Wall", "-Werror", "-x", "c++", "model.h"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)


REFUSED = {
    "both directions": (lambda: pyrnn.GRU(3, 4, bidirectional=True), ValueError, "forward"),
    "batch statistics": (
        lambda: pyrnn.BatchNorm1d(3, track_running_stats=False),
        ValueError,
        "running averages",
    ),
    "backwards": (lambda: pyrnn.GRU(3, 4, reverse=True), ValueError, "forward"),
    "no size": (lambda: pyrnn.Sequential(pyrnn.Activation("tanh")), ValueError, "features"),
    "late embedding": (
        lambda: pyrnn.Sequential(pyrnn.Linear(3, 4), pyrnn.Embedding(4, 2)),
        ValueError,
        "Embedding first",
    ),
    "no fit": (
        lambda: pyrnn.Sequential(pyrnn.Linear(3, 4), pyrnn.Linear(5, 2)),
        ValueError,
        "4 features before Linear",
    ),
    "a cell": (lambda: pyrnn.LSTMCell(3, 4), TypeError, "exported to C, got LSTMCell"),
    "nothing": (lambda: np.zeros(3), TypeError, "expected a layer"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_models_that_are_refused(tmp_path, kind):
    make_model, error, message = REFUSED[kind]
    with pytest.raises(error, match=message):
        export(make_model(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_numbers_that_are_none(tmp_path):
    layer = pyrnn.Linear(2, 2, seed=0)
    layer.parameters["weight"][0, 0] = np.nan
    with pytest.raises(ValueError, match="finite parameters, got others in weight"):
        export(layer, tmp_path)


def test_outputs_that_are_none(tmp_path):
    layer = pyrnn.Sequential(pyrnn.Linear(1, 2, seed=0), pyrnn.Linear(2, 2, seed=0))
    for array in layer.parameters.values():
        array *= 1e38
    with pytest.raises(ValueError, match="finite outputs"):
        export(layer, tmp_path)


def test_classes_of_the_user(tmp_path):
    class Modèle(pyrnn.Sequential):
        pass

    class Named(pyrnn.Linear):
        def __repr__(self):
            return "/* é\n */ int"

    class Called(pyrnn.Linear):
        def __call__(self, x, out=None):
            return 2 * super().__call__(x)

    class Twice(Modèle):
        def forward(self, x, *rest, **more):
            return super().forward(2 * x, *rest, **more)

    export(Modèle(Named(3, 2, seed=0)), tmp_path)
    done = make(tmp_path, COMPILERS[0])
    assert done.returncode == 0, done.stderr + done.stdout
    for model in (Called(3, 2), pyrnn.Sequential(Called(3, 2)), Twice(pyrnn.Linear(3, 2))):
        with pytest.raises(TypeError, match=r"a method '(__call__|forward)' of its own"):
            export(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="it is no folder"):
        export(pyrnn.Linear(3, 2), tmp_path / "file")


@pytest.mark.parametrize(
    "name", ["", "2d", "a-b", "math", "String", "é", "a" * 41, 3, "../a", "a\n"]
)
def test_names_that_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name: expected"):
        export(pyrnn.Linear(2, 2), tmp_path, name=name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_the_folder_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "model.c")
    with pytest.raises(OSError, match="it is no regular file"):
        export(pyrnn.Linear(2, 2, seed=0), tmp_path)


def test_files_of_the_user_are_kept(tmp_path):
    export(pyrnn.Linear(2, 2, seed=0), tmp_path)
    before = (tmp_path / "model.c").read_text()
    (tmp_path / "Makefile").write_text("all:\n")
    with pytest.raises(FileExistsError, match="was not written by pyrnn"):
        export(pyrnn.Linear(2, 2, seed=1), tmp_path)
    assert (tmp_path / "Makefile").read_text() == "all:\n"
    assert (tmp_path / "model.c").read_text() == before
    (tmp_path / "Makefile").unlink()
    export(pyrnn.Linear(2, 2, seed=1), tmp_path)
    assert (tmp_path / "model.c").read_text() != before


def test_subnormal_huge_and_whole_numbers_are_exact(tmp_path):
    layer = pyrnn.Linear(1, 5, bias=False)
    values = np.array([1e-45, -1.2345679e37, 2.0, -0.0, 1 / 3], np.float32)
    layer.parameters["weight"] = values[:, None]
    export(layer, tmp_path)
    text = re.search(r"weight\[5\] = \{(.*?)\}", (tmp_path / "model.c").read_text(), re.S)[1]
    found = [np.float32(word.strip().rstrip("f")) for word in text.split(",")]
    assert np.array(found).tobytes() == values.tobytes()


def test_files_are_replaced_all_or_none(tmp_path, monkeypatch):
    """A header of one model beside the source of another would compile."""
    export(pyrnn.GRU(2, 3, seed=0), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_at_the_third(path):
        return contextlib.nullcontext(Full()) if "test_" in path else _files.written_beside(path)

    module = importlib.import_module("pyrnn.interop.c.export")
    monkeypatch.setattr(module, "written_beside", full_at_the_third)
    with pytest.raises(OSError, match="No space left"):
        export(pyrnn.GRU(2, 5, seed=0), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
