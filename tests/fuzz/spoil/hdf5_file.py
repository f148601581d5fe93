"""Changes what a sound HDF5 file says: names, shapes, numbers, attributes, links, circles."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from tests.fuzz.draw import Draw

DTYPES = ("<f4", ">f4", "<f8", ">f8", "<f2", "<i4", ">i8", "u1", "?", "S5", "<c8")
SHAPES = ((), (0,), (1,), (3,), (2, 3), (3, 0), (1, 2, 3), (4, 4), (5, 12), (3, 12), (12,))
TEXTS: tuple[Any, ...] = (
    "", "x", "LSTM", "{}", "[]", "[" * 5000, b"\xff\xfe", 1, 2.5, np.zeros(3), "\u00e9", '{"a": 1}',
    ["a", "b"], [b"cell", b"cell"], [], "x" * 60_000,
)  # fmt: skip
NAMES = (
    "cell",
    "vars",
    "0",
    "1",
    "layers",
    "model_weights",
    "cell/w0:0",
    "kernel",
    "x",
    "lstm",
    ".",
)
ATTRIBUTES = (
    "layer_names", "weight_names", "keras_version", "model_config", "name", "pyrnn",
    "weight_names0",
)  # fmt: skip


def edited(draw: Draw, data: bytes) -> bytes:
    """A file with one or two changes that HDF5's library itself makes."""
    import h5py

    file = io.BytesIO(data)
    with h5py.File(file, "r+", track_order=None) as opened:
        for _ in range(draw.choice((1, 1, 2))):
            groups, arrays = _found(opened)
            form = draw.integer(0, 8)
            try:
                if form < 4 and arrays:
                    _edit_array(draw, opened, *draw.choice(arrays))
                elif form < 6:
                    _edit_attribute(draw, draw.choice(groups + [one[0] for one in arrays]))
                elif form < 7 and len(groups) > 1:
                    _edit_link(draw, draw.choice(groups), draw.choice(groups), arrays)
                else:
                    _add(draw, draw.choice(groups), draw.choice(groups))
            except (ValueError, OSError, RuntimeError, KeyError, TypeError):
                continue  # what the library itself does not take
    return file.getvalue()


def _found(opened: Any) -> tuple[list[Any], list[Any]]:
    """All groups, and all arrays each with its group and name; circles are not followed."""
    import h5py

    groups: list[Any] = [opened]
    arrays: list[Any] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            groups.append(item)
        else:
            arrays.append((item, item.parent, name.rpartition("/")[2]))

    opened.visititems(visit)
    return groups, arrays


def _edit_array(draw: Draw, opened: Any, item: Any, group: Any, name: str) -> None:
    """Another name, type, order of bytes, shape or layout, or no array at all."""
    form = draw.integer(0, 5)
    if form == 0:
        group.move(name, draw.choice(NAMES))
        return
    dtype = np.dtype(draw.choice(DTYPES))
    shape = draw.choice((item.shape, item.shape, item.shape[::-1], *SHAPES))
    del group[name]
    if form == 1:
        return
    values = np.zeros(shape, dtype)
    if form == 2 and values.ndim and values.size:  # packed
        options = draw.choice(({"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}))
        group.create_dataset(
            name, data=values, chunks=True, maxshape=(None,) * values.ndim, **options
        )
    elif form == 3:  # more than is there: numbers that are all the same take no room
        sizes = (2**12, 2**20, 2**31, 2**40)
        made = tuple(draw.choice(sizes) for _ in range(draw.integer(1, 3)))
        group.create_dataset(name, shape=made, dtype="f4", chunks=(64,) * len(made))
    else:
        group.create_dataset(name, data=values)


def _edit_attribute(draw: Draw, holder: Any) -> None:
    names = list(holder.attrs)
    name = draw.choice((*names, *ATTRIBUTES))
    if name in names and draw.chance(0.3):
        del holder.attrs[name]
    else:
        holder.attrs[name] = draw.choice(TEXTS)


def _edit_link(draw: Draw, one: Any, other: Any, arrays: list[Any]) -> None:
    name = draw.choice((*list(one), *NAMES))
    if name in one:
        del one[name]
    one[name] = other if draw.chance(0.6) or not arrays else draw.choice(arrays)[0]


def _add(draw: Draw, one: Any, other: Any) -> None:
    """A circle, a link to elsewhere, numbers of another file, a deep group, or very many."""
    import h5py

    form = draw.integer(0, 6)
    name = draw.choice(NAMES)
    if name in one:
        del one[name]
    if form == 0:
        one[name] = one
    elif form == 1:
        one[name] = h5py.SoftLink(draw.choice((other.name, "/nowhere", "/")))
    elif form == 2:
        one[name] = h5py.ExternalLink(draw.choice(("/etc/passwd", "other.h5")), "/")
    elif form == 3:
        one.create_dataset(name, (4,), "f4", external=[("/etc/passwd", 0, 16)])
    elif form == 4:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
        one.create_virtual_dataset(name, layout)
    elif form == 5:
        one.create_group("/".join(["a"] * draw.choice((5, 23, 24, 30, 200))))
    else:
        for number in range(draw.choice((5, 300))):
            one.create_group(f"g{number}")
