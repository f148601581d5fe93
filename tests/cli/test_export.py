"""`pyrnn export`: what it writes and says, and its mistakes."""

import pytest

import pyrnn
from pyrnn import serialization
from pyrnn.interop import converted


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_model(run, tmp_path):
    model = pyrnn.CharacterModel("abc", hidden_size=4, seed=0)
    serialization.save(model, "m.safetensors")
    result = run("export", "m.safetensors", "--c", "out", "--name", "abc")
    assert result.status == 0, result.err
    *files, sizes = result.out.splitlines()
    assert [line.replace("\\", "/") for line in files] == [
        "out/abc.h",
        "out/abc.c",
        "out/test_abc.c",
        "out/Makefile",
    ]
    weights = model.num_parameters - 16  # the two biases are one in C
    assert sizes.startswith(f"flash {4 * weights:,} bytes of weights, state 32 bytes")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "Makefile",
        "abc.c",
        "abc.h",
        "test_abc.c",
    ]


def test_int8(run):
    serialization.save(pyrnn.GRU(2, 30, seed=0), "m.safetensors")
    to_int8 = ("export", "m.safetensors", "--c", "out", "--weights", "int8")
    for activations, width in ((), 2), (("--activations", "int8"), 1):
        result = run(*to_int8, *activations)
        assert result.status == 0, result.err
        flash = 90 * (2 + 30) + 4 * (2 * 90 + 120)  # numbers; scales and biases
        stack = 4 * 120 + width * 30  # pre-activations; h as whole numbers
        sizes = result.out.splitlines()[-1]
        assert sizes.startswith(f"flash {flash:,} bytes of weights, state 120 bytes, arrays on ")
        assert f" stack {stack:,} bytes;" in sizes
    result = run(*to_int8[:-2], "--activations", "int8")
    assert result.status == 2
    assert "--activations: expected --weights int8 beside it, got no --weights" in result.err
    serialization.save(pyrnn.GRU(2, 3, dtype="float64"), "m.safetensors")
    result = run("export", "m.safetensors", "--c", "out", "--weights", "int8")
    assert result.status == 2
    assert "expected 'float64' for a layer of float64, got 'int8'" in result.err


def test_layers_that_follow_each_other(run):
    layers = {"first": pyrnn.GRU(2, 3), "other": pyrnn.Linear(9, 9), "out": pyrnn.Linear(3, 1)}
    converted.save_layers(layers, "m.safetensors")
    chosen = run("export", "m.safetensors", "--c", "out", "--layer", "first", "--layer", "out")
    assert chosen.status == 0, chosen.err
    whole = run("export", "m.safetensors", "--c", "out")
    assert whole.status == 2
    assert "3 features before Linear(9, 9)" in whole.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.safetensors", "--c", "out", "--layer", "no"], "expected one of gru, got 'no'"),
        (["m.safetensors", "--c", "out", "--name", "a b"], "name: expected an identifier"),
        (["m.safetensors", "--c", "m.safetensors"], "m.safetensors"),
        (["m.txt", "--c", "out"], "m.txt: cannot be read (No such file"),
        (["none.safetensors", "--c", "out"], "none.safetensors"),
        (["m.safetensors"], "--c"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    serialization.save(pyrnn.GRU(2, 3), "m.safetensors")
    result = run("export", *arguments)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
