"""Large sums of rows in float32, of numbers of rows and columns that fill AMX tiles or do not.

What is tested holds on every processor. Where AMX is in use, it sums batches of 16 sequences and
more, of layers of 64 Ki weights, over 64 Mi products.
"""

from pathlib import Path

import numpy as np
import pytest

import pyrnn

# (T, N, I, H), and whether lengths differ. A chunk is 32 rows of a step, or half of that.
WAYS = {
    "whole chunks": ((32, 32, 120, 208), False),
    "halves": ((66, 16, 120, 208), False),
    "whole ones, and halves that are not full": ((25, 42, 120, 208), False),
    "chunks that are not full": ((40, 27, 120, 208), False),
    "more chunks of a step than are packed at once": ((2, 700, 120, 208), False),
    "steps that begin in one block and end in the next": ((13, 96, 120, 208), False),
    "steps of few rows among others": ((50, 70, 120, 208), True),
    "columns that fill no tile": ((32, 32, 115, 211), False),
    "more columns than are packed at once": ((32, 32, 70, 330), False),
    "bands": ((62, 32, 120, 208), False),
}


@pytest.fixture(params=WAYS, ids=lambda name: name.replace(" ", "-"))
def step(request, make_layer):
    """``step(dtype)``: the gradients of a training step, from the same numbers in each dtype."""
    (time_steps, batch_size, input_size, hidden_size), uneven = WAYS[request.param]
    generator = np.random.default_rng(3)
    x = generator.standard_normal((time_steps, batch_size, input_size)).astype(np.float32)
    dy = generator.standard_normal((time_steps, batch_size, hidden_size)).astype(np.float32)
    lengths = generator.integers(1, time_steps + 1, batch_size) if uneven else None
    parameters = make_layer(input_size, hidden_size, seed=4).parameters

    def compute(dtype="float32", checkpoint=None):
        layer = make_layer(input_size, hidden_size, dtype=dtype)
        for name, value in parameters.items():
            layer.parameters[name] = value.astype(dtype)
        _, _, cache = layer.forward(x.astype(dtype), None, lengths, checkpoint=checkpoint)
        return layer.backward(cache, dy.astype(dtype))[2]

    return compute


def test_as_exact_as_float32(step):
    got, expected = step(), step("float64")
    for name, array in expected.items():
        assert np.abs(got[name] - array).max() <= 3e-6 * np.abs(array).max(), name


def test_bits_for_every_number_of_threads(step, same_bits, num_threads):
    with num_threads(1):
        expected = step()
    for count in (2, 3):
        with num_threads(count):
            same_bits(step(), expected, f"{count} threads")


@pytest.mark.parametrize("checkpoint", [1, 3])
def test_bits_with_checkpoints(step, same_bits, checkpoint):
    same_bits(step(checkpoint=checkpoint), step())


def weight_gradient(x, dy):
    """Of a linear layer: dyᵀ x."""
    linear = pyrnn.Linear(x.shape[1], dy.shape[1])
    _, cache = linear.forward(x)
    return linear.backward(cache, dy)[1]["weight"]


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1, 1e15, 1e30])
def test_numbers_of_all_sizes(scale):
    """Three bfloat16 reach as far as float32 does, but for the last digits of the smallest."""
    generator = np.random.default_rng(6)
    x = generator.standard_normal((937, 300)).astype(np.float32)
    dy = (scale * generator.standard_normal((937, 250))).astype(np.float32)
    expected = dy.astype(np.float64).T @ x
    difference = np.abs(weight_gradient(x, dy) - expected).max()
    assert difference <= 3e-6 * np.abs(expected).max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_none_in_its_sums(value):
    x, dy = np.ones((1024, 300), np.float32), np.ones((1024, 250), np.float32)
    x[5, 3] = value
    gradient = weight_gradient(x, dy)
    assert not np.isfinite(gradient[:, 3]).any()
    assert (np.delete(gradient, 3, axis=1) == 1024).all()


GRADIENTS = """
import hashlib, numpy as np, pyrnn
layer = pyrnn.LSTM(40, 128, seed=0)
x = np.random.default_rng(0).standard_normal(({steps}, 32, 40)).astype("float32")
_, _, cache = layer.forward(x)
gradients = layer.backward(cache, np.ones(({steps}, 32, 128), "float32"))[2]
print(hashlib.sha256(gradients["weight_hh_l0"].tobytes()).hexdigest())
"""


@pytest.mark.parametrize(("steps", "large"), [(10, False), (30, True)])
def test_large_sums_alone_use_it(run_python, steps, large):
    """Seen in the bits: small ones are those of AVX-512, large ones are not."""
    if not pyrnn.build_info()["amx"]:
        pytest.skip("AMX is not in use here")
    code = GRADIENTS.format(steps=steps)
    digests = {run_python("-c", code, PYRNN_AMX=value).stdout for value in ("", "0")}
    assert len(digests) == (2 if large else 1), digests


def test_sums_without_it(run_python):
    if not pyrnn.build_info()["amx"]:
        pytest.skip("AMX is not in use here")
    result = run_python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__), PYRNN_AMX="0"
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout


AMX = "import pyrnn; print(pyrnn.build_info()['amx'])"


def test_variable_turns_it_off(run_python):
    assert run_python("-c", AMX, PYRNN_AMX="0").stdout.strip() == "False"


def test_it_belongs_to_avx512(run_python):
    for isa in set(pyrnn.build_info()["isas"]) - {"avx512"}:
        result = run_python("-c", AMX, PYRNN_ISA=isa, PYRNN_AMX="1")
        assert result.stdout.strip() == "False" or "does not run" in result.stderr


def test_variable_takes_no_other_value(run_python):
    if pyrnn.build_info()["isa"] != "avx512":
        pytest.skip("this processor has no AVX-512")
    result = run_python("-c", AMX, PYRNN_AMX="yes")
    assert result.returncode == 1
    assert "PYRNN_AMX: expected 0 or 1, got 'yes'" in result.stderr


def test_it_is_used_or_refused_where_it_is_asked_for(run_python):
    if pyrnn.build_info()["isa"] != "avx512":
        pytest.skip("this processor has no AVX-512")
    result = run_python("-c", AMX, PYRNN_AMX="1")
    refusal = "PYRNN_AMX: got 1, but this processor, its system or this build does not offer AMX"
    assert result.stdout.strip() == "True" or refusal in result.stderr
