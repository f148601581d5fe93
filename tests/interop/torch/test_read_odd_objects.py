"""Files of torch.save with odd objects: deep ones, huge ones, ones without their scale."""

import contextlib
import warnings

import numpy as np
import pytest

from pyrnn.interop import conversion
from pyrnn.interop.torch import from_state_dict, read
from pyrnn.serialization import ModelFileError
from tests.fuzz.spoil.hostile import nested
from tests.fuzz.spoil.torch_file import (
    CONTAINERS,
    Object,
    Raw,
    View,
    Writer,
    archive,
    name,
    zipped,
)

BASE = np.arange(24, dtype=np.float32)


@pytest.mark.parametrize("scheme", [None, 3, 0.5, "x", (), (BASE, 1.0, 0), (None, 1.0, 0), [], {}])
def test_quantised_tensors_that_do_not_say_how(read_bytes, scheme):
    writer = Writer()
    plain = writer.item(BASE.astype(np.int64))
    made = name("torch._utils", "_rebuild_qtensor")
    stored = plain[len(name("torch._utils", "_rebuild_tensor_v2")) : -1]
    assert stored.startswith(b"(")
    arguments = stored[:-1] if stored.endswith(b"t") else stored
    data = b"\x80\x02" + made + arguments + writer.item(scheme) + b"tR."
    flats = {f"model/data/{k}": flat.tobytes() for k, flat in writer.storages.items()}
    with pytest.raises(ModelFileError, match="quantised tensor that does not say how"):
        read_bytes(zipped({"model/data.pkl": data, **flats}))


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
@pytest.mark.parametrize("depth", [115, 190, 900, 20_000])
def test_deep_objects_are_read_or_refused(read_bytes, kind, depth):
    """Also where the caller has taken most of the calls that Python has."""

    def read_it(calls):
        return (
            read_it(calls - 1) if calls else read_bytes(archive({"deep": Raw(nested(kind, depth))}))
        )

    for calls in (0, 300, 600):
        if depth < 120 and not calls:
            assert "deep" in read_it(calls)
            continue
        with contextlib.suppress(ModelFileError):  # which of them, the depth of the caller says
            read_it(calls)


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("zeros", [(0,), ()])
@pytest.mark.parametrize("large", [2**31, 2**61, 2**62 - 1, 2**62, 2**63, 2**70])
def test_tensors_of_sizes_that_no_array_has(read_bytes, container, large, zeros):
    shape = (*zeros, large, large)
    for strides in ((0,) * len(shape), (1,) * len(shape)):
        try:
            found = read_bytes(container({"x": View(BASE, 0, shape, strides)}))
        except ModelFileError:
            continue
        assert zeros
        assert found["x"].size == 0


# --- whole training states ------------------------------------------------------------------


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
def test_a_model_beside_its_optimiser(older, as_list, tmp_path):
    """As many scripts save them. An optimiser finds its state by parameters, which are keys."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.GRU(3, 4), torch.nn.Linear(4, 2))
    optimiser = torch.optim.Adam(model.parameters())
    model[1](model[0](torch.ones(5, 2, 3))[0]).sum().backward()
    optimiser.step()
    saved = [model, torch.nn.MSELoss(), optimiser, optimiser.state_dict()]
    if not as_list:
        saved = dict(zip(("0", "1", "2", "3"), saved, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(saved, tmp_path / "m.pt", _use_new_zipfile_serialization=not older)
    layer = from_state_dict(read(tmp_path / "m.pt"), "0.0")
    assert np.array_equal(layer.parameters["weight_hh_l0"], model[0].weight_hh_l0.detach())
    holding = conversion.read(tmp_path / "m.pt")
    assert [repr(one) for one in holding.layers.values()] == ["GRU(3, 4)", "Linear(4, 2)"]
    assert list(holding.layers) == ["0.0", "0.1"]
    why = "an optimiser's, for 6 parameters"
    assert holding.refused == {"2.state": why, "3.state": why}


def test_objects_as_keys_have_numbers(read_bytes):
    made = name("some.where", "Thing")
    empty = Raw(b")R")
    pairs = b"".join(made + empty + Writer().item(n) for n in range(2))
    plain = Raw(b"}(" + pairs + b"u")
    members = Raw(name("builtins", "set") + b"](" + (made + empty) * 2 + b"e\x85R")
    found = read_bytes(archive({"d": plain, "s": members}))
    assert found["d"] == {"(Placeholder 1)": 0, "(Placeholder 2)": 1}
    assert found["s"] == {"(Placeholder 3)", "(Placeholder 4)"}
    inside = Raw(b"}q\x01(" + made + Raw(b"h\x01\x85R") + b"K\x01u")
    with pytest.raises(ModelFileError, match="contains itself"):
        read_bytes(archive({"d": inside}))


def test_lists_of_models():
    arrays = {"weight_ih_l0": np.ones((12, 3), "f"), "weight_hh_l0": np.ones((12, 4), "f")}
    for mapping, prefix in (
        ([arrays], "0"),
        ((1, {"rnn": arrays}, "x"), "1.rnn"),
        ({"a": [3, [arrays]]}, "a.1.0"),
    ):
        assert repr(from_state_dict(mapping, prefix)) == "GRU(3, 4, bias=False)"
    many = [arrays] * 1001  # a record of something else
    with pytest.raises(ValueError, match="there are no weights"):
        from_state_dict({"a": many}, "a.0")
    with pytest.raises(TypeError, match="mapping: expected a dict of arrays, got list"):
        from_state_dict(many, "0")


def test_lists_in_modules_are_not_looked_into(read_bytes):
    """They refer to modules that have their names already, or to what torch computed of them."""
    arrays = {"weight_ih_l0": np.ones((12, 3), "f"), "weight_hh_l0": np.ones((12, 4), "f")}
    parts = {"_parameters": arrays, "_flat_weights": list(arrays.values())}
    rnn = Object("torch.nn", "GRU", parts)
    found = read_bytes(archive([Object("a", "Net", {"_modules": {"rnn": rnn}, "all": [rnn]})]))
    assert repr(from_state_dict(found, "0.rnn")) == "GRU(3, 4, bias=False)"
    with pytest.raises(ValueError, match=r"there are layers at '0\.rnn'$"):
        from_state_dict(found, "0.all.0")


@pytest.mark.parametrize("double", [False, True])
def test_tensors_stored_with_the_other_sign_or_as_conjugates(double, tmp_path):
    torch = pytest.importorskip("torch")
    whole = torch.randn(3, dtype=torch.complex128 if double else torch.complex64)
    conjugate = whole.conj()
    negative = conjugate.imag
    assert conjugate.is_conj()
    assert negative.is_neg()
    for tensor in (conjugate, negative, whole, whole.imag):
        torch.save({"x": tensor}, tmp_path / "m.pt")
        expected = tensor.resolve_conj().resolve_neg().numpy()
        assert np.array_equal(read(tmp_path / "m.pt")["x"], expected)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (["constants.pkl", "constants/0", "data.pkl"], "a frozen TorchScript program"),
        (["archive_format", "models/model.json"], "a program of torch.export: save its state_dict"),
    ],
)
def test_programs_without_named_weights_say_so(read_bytes, members, said):
    data = {f"m/{member}": Writer().pickle({}) for member in members}
    with pytest.raises(ModelFileError, match=said):
        read_bytes(zipped(data))
