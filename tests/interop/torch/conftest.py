"""For the tests of torch files: one is written from bytes, and read."""

import pytest

from pyrnn.interop.torch import read


@pytest.fixture
def read_bytes(tmp_path):
    """Reads a file of these bytes."""

    def from_bytes(data):
        path = tmp_path / "model.pt"
        path.write_bytes(data)
        return read(path)

    return from_bytes
