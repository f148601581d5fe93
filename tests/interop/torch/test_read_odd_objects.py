"""Files of torch.save with odd objects: deep ones, huge ones, ones without their scale."""

import contextlib

import numpy as np
import pytest

from pyrnn.serialization import ModelFileError
from tests.fuzz.spoil.hostile import nested
from tests.fuzz.spoil.torch_file import CONTAINERS, Raw, View, Writer, archive, name, zipped

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
