"""int8 models as C: they have the bits of the core, so no number is rounded to another integer."""

import ctypes
import platform
import shutil
import subprocess

import numpy as np
import pytest

import pyrnn
from pyrnn._number_formats.narrow import is_narrow
from pyrnn.interop.c import export
from tests.interop.c.building import ARM, ARM_RUN, COMPILERS, FLAGS, largest_error, make
from tests.interop.c.models import DOUBLE, LAYERS, drawn_layer, moved

if not COMPILERS:
    pytest.skip("needs a C compiler", allow_module_level=True)

BITS = pyrnn.build_info()["isa"] not in (None, "baseline")
"""Whether the core's multiply-adds round once, as those in C do."""
IN_DOUBLE = ("sequence", "named")
"""Kinds with functions of double, whose last bit may be another one."""
KINDS = [
    *("rnn", "relu", "lstm", "projection", "coupled peephole", "lstm norm", "gru", "gru norm"),
    *("gru reset before", "minimal", "zoneout", "embedding", "sequence", "within", "named"),
    *("embedded characters", "long", "activated lstm", "activated peephole", "activated gru"),
    *("activated reset before", "activated rnn", "own norm"),
]


def model_of(kind):
    return pyrnn.Linear(1500, 3, seed=0) if kind == "long" else moved(LAYERS[kind]())


def check(done, kind=""):
    assert done.returncode == 0, done.stderr + done.stdout
    assert largest_error(done) <= (0 if BITS and kind not in IN_DOUBLE else 1e-5)


@pytest.mark.parametrize(
    ("kind", "activations", "compiler"),
    [(kind, "int8", COMPILERS[0]) for kind in KINDS]
    + [(kind, "int16", COMPILERS[0]) for kind in ("lstm norm", "gru", "sequence", "long")]
    + [("sequence", "int8", other) for other in COMPILERS[1:]],
)
def test_it_computes_the_bits_of_the_layer(tmp_path, kind, activations, compiler):
    model = model_of(kind)
    full = export(model, tmp_path / "full")
    made = export(model, tmp_path, weights="int8", activations=activations)
    check(make(tmp_path, compiler), kind)
    matrices = {k: a for k, a in model.parameters.items() if is_narrow(k, a)}
    saved = sum(3 * array.size - 4 * len(array) for array in matrices.values())
    assert full.flash - made.flash == saved
    assert made.state == full.state
    # What is compared are the numbers of int8, not those of float32.
    outputs = [(tmp_path / f / "test_model.c").read_text() for f in ("full", ".")]
    assert outputs[0] != outputs[1]


@pytest.mark.skipif(not BITS or platform.machine() != "x86_64", reason="needs -mfma")
@pytest.mark.parametrize("kind", ["lstm norm", "within"])
def test_it_has_the_bits_though_the_compiler_joins_operations(tmp_path, kind):
    export(model_of(kind), tmp_path, weights="int8", activations="int8")
    flags = "-std=gnu99 -O3 -mfma -ffp-contract=fast"
    command = ["make", "-s", "test", f"CC={COMPILERS[0]}", f"CFLAGS={flags}"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    check(done, kind)


@pytest.mark.skipif(not shutil.which(ARM), reason="needs gcc-arm-linux-gnueabihf")
@pytest.mark.skipif(not shutil.which("qemu-arm"), reason="needs qemu-user")
@pytest.mark.parametrize(
    ("kind", "activations"), [("lstm", "int8"), ("sequence", "int16"), ("gru norm", "int8")]
)
def test_on_a_processor_of_32_bits(tmp_path, kind, activations):
    export(model_of(kind), tmp_path, weights="int8", activations=activations)
    check(make(tmp_path, ARM, run=ARM_RUN), kind)


def test_activations_of_8_bits_take_half_the_stack_and_other_numbers(tmp_path):
    model = moved(pyrnn.LSTM(40, 30, seed=0))
    wide, narrow = (
        export(model, tmp_path / a, weights="int8", activations=a) for a in ("int16", "int8")
    )
    assert wide.stack - narrow.stack == 40
    assert wide.flash == narrow.flash
    outputs = [(tmp_path / f / "test_model.c").read_text() for f in ("int16", "int8")]
    assert outputs[0] != outputs[1]


def test_activations_are_those_of_the_file(tmp_path):
    path = tmp_path / "layer.safetensors"
    pyrnn.save(moved(pyrnn.GRU(3, 9, seed=0)), path, weights="int8", activations="int8")
    layer = pyrnn.load(path)
    export(layer, tmp_path / "noted", weights="int8")
    export(layer, tmp_path / "told", weights="int8", activations="int16")
    texts = [(tmp_path / f / "model.c").read_text() for f in ("noted", "told")]
    assert ["int16_t" in text for text in texts] == [False, True]
    check(make(tmp_path / "noted", COMPILERS[0]))


@pytest.mark.parametrize(
    ("weights", "activations", "more"),
    [("float32", "int8", {}), (None, "int8", {}), ("int8", "int4", {}), ("int8", "int8", DOUBLE)],
)
def test_activations_that_are_refused(tmp_path, weights, activations, more):
    layer = pyrnn.Linear(2, 2, **more)
    with pytest.raises(ValueError, match=r"(weights|activations): expected"):
        export(layer, tmp_path / "new", weights=weights, activations=activations)
    assert not (tmp_path / "new").exists()


def compiled(folder, flags="", text='#include "model.c"\n'):
    """The model, and what `text` has besides, as a library."""
    (folder / "all.c").write_text(text)
    options = [*FLAGS.split(), *flags.split(), "-shared", "-fPIC", "-Wno-unused-function"]
    command = [COMPILERS[0], *options, "all.c", "-o", f"all{flags}.so", "-lm"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return ctypes.CDLL(str(folder / f"all{flags}.so"))


FLOATS = ctypes.POINTER(ctypes.c_float)


def pointers(*arrays):
    return [array.ctypes.data_as(FLOATS) for array in arrays]


def test_numbers_that_are_none_or_small(tmp_path):
    """A row that is not finite gives NaN, one without a scale counts as zeros, ties go to even."""
    layer = moved(pyrnn.Linear(4, 3, seed=0))
    for activations in ("int16", "int8"):
        folder = tmp_path / activations
        export(layer, folder, weights="int8", activations=activations)
        step = compiled(folder).model_step
        layer.eval(weights="int8", activations=activations)
        for row in (
            [np.nan, 1, 2, 3],
            [1, -np.inf, 2, np.inf],
            [1e-31, 1e-40, 0, -1e-31],
            [1e38, -3e38, 0, 1],
            [0.5, 1.5, -2.5, 32767],
            [0.5, 1.5, -2.5, 127],
        ):
            x, y = np.array(row, np.float32), np.zeros(3, np.float32)
            step(ctypes.create_string_buffer(8), *pointers(x, y))
            np.testing.assert_allclose(y, layer(x), rtol=1e-6)


def drawn_floats(count):
    """Numbers of all magnitudes, many of them usual ones, and the special ones."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**32, count, np.uint32).view(np.float32)
    usual = generator.standard_normal(count, np.float32) * 5
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-38, 104.5, -104.5, 89, 40], np.float32)
    return np.concatenate([bits[np.isfinite(bits)], usual, special])


FUNCTIONS = [
    *("sigmoid", "tanh", "softplus", "relu", "elu", "hard_sigmoid", "softsign", "leaky_relu"),
    *(("affine", 1.7, -0.3), ("scaled_tanh", 1.7, 0.6), ("thresholded_relu", 0.5)),
    *(("elu", 0.3), ("leaky_relu", -0.2), ("hard_sigmoid", 1 / 6, 0.5)),
]


@pytest.mark.skipif(not BITS, reason="needs a core whose multiply-adds round once")
@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_functions_have_the_bits_of_the_core(tmp_path, function):
    layer = pyrnn.Activation(function)
    model = pyrnn.Sequential(first=pyrnn.Linear(1, 1, seed=0), act=layer)
    export(model, tmp_path, weights="int8")
    loop = "void all(const float *x, float *y, size_t n);\n"
    loop += "void all(const float *x, float *y, size_t n)\n{\n"
    loop += "    for (size_t i = 0; i < n; ++i) model_act(x + i, y + i);\n}\n"
    x = drawn_floats(100_000)
    expected = layer(x)
    found = np.zeros_like(x)
    compiled(tmp_path, text='#include "model.c"\n' + loop).all(
        *pointers(x, found), ctypes.c_size_t(len(x))
    )
    # Where a number is subnormal, or one on the way to it, the core has zero.
    for y in (expected, found):
        y[np.abs(y) < 1e-36] = 0
    np.testing.assert_array_equal(found, expected)


def test_the_sum_of_a_product_is_rounded_once(tmp_path):
    """Without the instruction it is computed by doubles; products in all their digits tell."""
    export(pyrnn.Linear(1, 1, seed=0), tmp_path, weights="int8")
    text = '#include "model.c"\nfloat one(float a, float b, float c);\n'
    text += "float one(float a, float b, float c) { return fused_add(a, b, c); }\n"
    one = compiled(tmp_path, text=text).one
    one.argtypes, one.restype = [ctypes.c_float] * 3, ctypes.c_float
    assert one(1 + 2**-23, 1 + 2**-23, -1 - 2**-22) == 2**-46
    # Rounding to double first would make a tie of it, and round that to the even number.
    assert one(1, 1 + 2**-23, 2**-24 + 2**-46) == np.float32(1 + 2**-22)
    assert one(2**-60, -(2**-60), 1 + 2**-23) == np.float32(1 + 2**-23)
    assert one(1 + 2**-12, 1 + 2**-12, 2**-60) == np.float32(1 + 2**-11 + 2**-23)
    assert one(np.inf, 1, 1) == np.inf
    assert np.isnan(one(np.inf, 1, -np.inf))
    assert one(1e38, 1e38, 1) == np.inf


@pytest.mark.long
def test_drawn_layers(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(200):
        layer = moved(drawn_layer(generator, int(generator.integers(1, 20))))
        folder = tmp_path / str(number)
        activations = ("int8", "int16")[number % 2]
        export(layer, folder, weights="int8", activations=activations)
        done = make(folder, COMPILERS[number % len(COMPILERS)])
        assert done.returncode == 0, f"{layer!r}\n{done.stderr}{done.stdout}"
        assert largest_error(done) <= (0 if BITS else 1e-5), repr(layer)
