"""Sums of rows in float32, of numbers of rows and columns that fill AMX tiles or do not.

They hold on every processor; where AMX is in use, it sums those of 16 sequences and more.
"""

import numpy as np
import pytest

import pyrnn

# (T, N, I, H), and whether lengths differ. A chunk is 32 rows of a step, or half of that.
WAYS = {
    "whole chunks": ((9, 32, 16, 32), False),
    "a half": ((9, 16, 16, 32), False),
    "a half that is not full": ((9, 42, 20, 24), False),
    "a chunk that is not full": ((9, 27, 20, 24), False),
    "whole ones and a half": ((5, 80, 40, 48), False),
    "more chunks of a step than are packed at once": ((2, 700, 6, 20), False),
    "steps that begin in one block and end in the next": ((13, 96, 33, 17), False),
    "steps of few rows among others": ((40, 70, 9, 50), True),
    "columns that fill no tile": ((4, 32, 3, 5), False),
    "one row of tiles, several columns": ((4, 32, 100, 16), False),
    "more columns than are packed at once": ((3, 32, 70, 330), False),
    "bands of half chunks": ((60, 32, 33, 40), False),
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


@pytest.mark.parametrize("rows", [1, 31, 64, 600])
def test_linear(rows):
    generator = np.random.default_rng(5)
    x = generator.standard_normal((rows, 37)).astype(np.float32)
    dy = generator.standard_normal((rows, 21)).astype(np.float32)
    linear = pyrnn.Linear(37, 21)
    _, cache = linear.forward(x)
    gradient = linear.backward(cache, dy)[1]["weight"]
    expected = dy.astype(np.float64).T @ x
    assert np.abs(gradient - expected).max() <= 3e-6 * np.abs(expected).max()


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15, 1e30])
def test_numbers_of_all_sizes(scale):
    """Three bfloat16 reach as far as float32 does, but for the last digits of the smallest."""
    generator = np.random.default_rng(6)
    x = generator.standard_normal((96, 24)).astype(np.float32)
    dy = (scale * generator.standard_normal((96, 24))).astype(np.float32)
    linear = pyrnn.Linear(24, 24)
    _, cache = linear.forward(x)
    gradient = linear.backward(cache, dy)[1]["weight"]
    expected = dy.astype(np.float64).T @ x
    assert np.abs(gradient - expected).max() <= 3e-6 * np.abs(expected).max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_none_in_its_sums(value):
    x, dy = np.ones((32, 20), np.float32), np.ones((32, 40), np.float32)
    x[5, 3] = value
    linear = pyrnn.Linear(20, 40)
    _, cache = linear.forward(x)
    gradient = linear.backward(cache, dy)[1]["weight"]
    assert not np.isfinite(gradient[:, 3]).any()
    assert (np.delete(gradient, 3, axis=1) == 32).all()


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
    refusal = "PYRNN_AMX: got 1, but this processor or its system does not offer AMX"
    assert result.stdout.strip() == "True" or refusal in result.stderr
