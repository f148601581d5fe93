"""The LSTM with weights of 8 bits that `onnxruntime.quantization.quantize_dynamic` makes.

onnxruntime rounds what goes into each product to 8 bits as well: all of X at once, and H at each
step, all rows of the batch with one scale (with several threads, the rows of each thread). Products
are exact, and their scales are those of the weights times that of X or H. So does this, and gives
the same numbers, until one of h lies so near the middle between two bytes that the last bit of tanh
decides. The core has the loop for the usual gates; NumPy's loop is for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrnn.backend import selection
from pyrnn.interop.onnx.equations import Named, Settings, bounded
from pyrnn.interop.onnx.graph import AnyArray, Node
from pyrnn.interop.onnx.operators._build import Build, Builder, Function
from pyrnn.interop.onnx.operators.dense import Packed
from pyrnn.interop.onnx.operators.quantized import LSTM, Exact, dequantized
from pyrnn.interop.onnx.operators.recurrent import (
    batch_first,
    check_input,
    checked_lengths,
    checked_states,
    settings_of,
    weights_of,
)

LEVELS = np.float32(255)
ONE, NONE = np.float32(1), np.float32(0)


class Bytes(NamedTuple):
    """W or R of an LSTM: (directions, ·, 4·H) quantised numbers, their scale and zero point."""

    q: AnyArray
    scale: AnyArray
    zero: AnyArray | None

    def checked(self) -> Bytes:
        """Itself, if the shapes fit: a scale of each direction, or of each of its columns."""
        q = self.q
        if q.ndim != 3 or q.dtype.kind not in "iu" or q.dtype.itemsize != 1:
            raise ValueError(f"expected numbers of 8 bits of 3 axes, got {q.dtype} of {q.shape}")
        if self.scale.dtype != np.float32 or (self.zero is not None and self.zero.dtype != q.dtype):
            raise ValueError(f"expected a scale of float32 and a zero point of {q.dtype}")
        directions, _, columns = q.shape
        for name, part in (("scale", self.scale), ("zero point", self.zero)):
            if part is not None and part.shape not in ((directions,), (directions, columns)):
                raise ValueError(
                    f"{name}: expected shape ({directions},) or ({directions}, {columns}), "
                    f"got {part.shape}"
                )
        return self

    def floats(self) -> AnyArray:
        """What they stand for, as ONNX's LSTM has it: (directions, 4·H, ·)."""
        parts = [None if p is None else p.reshape(len(p), 1, -1) for p in (self.scale, self.zero)]
        assert parts[0] is not None
        return np.ascontiguousarray(dequantized(self.q, parts[0], parts[1]).swapaxes(1, 2))

    def product(self, direction: int) -> tuple[Exact, AnyArray]:
        """The product of one direction, and the scale of each of its columns."""
        wide = self.q[direction].astype(np.float64)
        if self.zero is not None:
            wide -= self.zero[direction]
        columns = np.broadcast_to(self.scale[direction], self.q.shape[2:])
        return Exact(wide), np.ascontiguousarray(columns)


def weights_in(build: Build) -> tuple[Bytes, Bytes]:
    """W and R of a node, which have to be constants."""
    found = []
    for place, scale_at in ((1, 8), (2, 10)):
        q, scale, zero = (build.constant(at) for at in (place, scale_at, scale_at + 1))
        if q is None or scale is None or (zero is None and build.given(scale_at + 1)):
            raise build.unsupported("quantised weights that are computed from the inputs")
        found.append(Bytes(q, scale, zero).checked())
    return found[0], found[1]


def lstm_of(build: Build) -> Build:
    """The LSTM of floats that a quantised one stands for."""
    node = build.node
    inputs = list(node.inputs[:8])
    constants = dict(build.constants)
    for place, part in zip((1, 2), weights_in(build), strict=True):
        inputs[place] = f"{inputs[place]} dequantized"
        constants[inputs[place]] = part.floats()
    plain_node = Node("LSTM", node.name, tuple(inputs), node.outputs, node.attributes)
    return Build(plain_node, build.opset, constants)


def _lstm(build: Build) -> Function:
    parts = weights_in(build)
    whole = settings_of(lstm_of(build))
    fixed = [build.constant(place) for place in (3, 7)]
    rest = [place for place in (3, 7) if build.given(place)]
    known = all(build.constant(place) is not None for place in rest)
    lasting = _sides(whole, parts, *fixed) if known else None

    def run(
        x: AnyArray,
        w: Any,
        r: Any,
        bias: Any = None,
        lengths: AnyArray | None = None,
        h: AnyArray | None = None,
        c: AnyArray | None = None,
        peepholes: Any = None,
        *_: Any,
    ) -> tuple[AnyArray, ...]:
        settings, sides = lasting or _sides(whole, parts, bias, peepholes)
        check_input(x, sides[0].features, ONE.dtype)
        steps, rows, _ = x.shape
        counts = None if lengths is None else checked_lengths(lengths, steps, rows)
        given = (("initial_h", h), ("initial_c", c))
        states = checked_states(settings, given, rows, x.dtype)
        if states is None:
            shape = (len(sides), rows, settings.hidden_size)
            states = [np.zeros(shape, x.dtype) for _ in range(2)]
        firsts = [(states[0][n], states[1][n]) for n in range(len(sides))]
        both = [side.run(x, counts, *first) for side, first in zip(sides, firsts, strict=True)]
        y = np.stack([one[0] for one in both], axis=1)
        return y, *(np.stack([one[n] for one in both]) for n in (1, 2))

    return batch_first(run) if build.flag("layout") else run


def _sides(
    settings: Settings,
    parts: tuple[Bytes, Bytes],
    bias: AnyArray | None,
    peepholes: AnyArray | None,
) -> tuple[Settings, list[_Side]]:
    """The directions, and the settings with the size that they have."""
    w, r = (part.floats() for part in parts)  # whose shapes are checked; they are not kept
    settings, weights = weights_of(settings, w, r, bias, peepholes)
    return settings, [_Side(settings, n, parts, weights[n]) for n in range(len(weights))]


class _Side:
    """One direction."""

    def __init__(
        self, settings: Settings, number: int, parts: tuple[Bytes, Bytes], weights: Any
    ) -> None:
        self.features = weights.W.shape[1]
        self.hidden = settings.hidden_size
        self.backwards = settings.backwards[number]
        self.of_x, self.x_scale = parts[0].product(number)
        self.of_h, self.h_scale = parts[1].product(number)
        self.bias = weights.Wb + weights.Rb
        functions = settings.activations[number]
        self.gates = _gates(settings, functions, weights.P)
        plain = settings.clip is None and weights.P is None and not settings.input_forget
        usual = [function.name for function in functions] == ["Sigmoid", "Tanh", "Tanh"]
        self.loop: Packed | None = None
        if plain and usual and self.of_h.dtype == np.float32:
            self.loop = Packed(self._pack_loop)

    def _pack_loop(self, backend: selection.Backend) -> Callable[..., Any]:
        return backend.pack_rounded_lstm(self.of_h.rows, self.h_scale) or _no_loop

    def run(self, x: AnyArray, lengths: Any, h: AnyArray, c: AnyArray) -> tuple[AnyArray, ...]:
        """Y (T, N, H), and the last H and C; rows of no steps end in zeros."""
        steps, rows = x.shape[:2]
        order = None
        if lengths is not None:
            most = int(lengths.max(initial=0))
            order = np.broadcast_to(np.arange(most)[:, None], (most, rows))
            if self.backwards:
                order = np.where(order < lengths, lengths - 1 - order, order)
            given = x[order, np.arange(rows)]
        else:
            given = x[::-1] if self.backwards else x
        y = np.zeros((steps, rows, self.hidden), x.dtype)
        done = y[: len(given)]
        h, c = self._steps(given, lengths, h, c, done)
        if order is None:
            return y[::-1] if self.backwards else y, h, c
        if self.backwards:
            done[:] = done[order, np.arange(rows)]
        return y, *(np.where(lengths[:, None] == 0, NONE, part) for part in (h, c))

    def _steps(
        self, x: AnyArray, lengths: Any, h: AnyArray, c: AnyArray, y: AnyArray
    ) -> tuple[AnyArray, AnyArray]:
        """Fill y, and return the last states; rows that have ended feed zeros to the scale."""
        scale, q = _rounded(x)
        z = self.of_x(q.astype(self.of_x.dtype, copy=False)).astype(np.float32, copy=False)
        z *= self.x_scale * scale
        z += self.bias
        loop = _no_loop if self.loop is None else self.loop.function()
        if loop is not _no_loop and z.size:
            counts = None if lengths is None else lengths.astype(np.int64)
            y[:], h, c = loop(z, np.ascontiguousarray(h), np.ascontiguousarray(c), counts)
            return h, c
        last, wide = h, self.of_h.dtype
        for t in range(len(x)):
            scale, q = _rounded(h)
            product = self.of_h(q.astype(wide, copy=False)).astype(np.float32, copy=False)
            new_h, new_c = self.gates(product * (self.h_scale * scale) + z[t], c)
            if lengths is None:
                last = h = new_h
                c = new_c
            else:
                running = (t < lengths)[:, None]
                h = np.where(running, new_h, NONE)
                last, c = np.where(running, h, last), np.where(running, new_c, c)
            y[t] = h
        return last, c


def _no_loop(*_: Any) -> Any:
    """In place of the core's."""


def _rounded(x: AnyArray) -> tuple[Any, AnyArray]:
    """The scale of a range that x and 0 are in, and q − its zero point in float32."""
    low = min(np.minimum.reduce(x, axis=None, initial=NONE), NONE)
    high = max(np.maximum.reduce(x, axis=None, initial=NONE), NONE)
    scale = (high - low) / LEVELS if high > low else ONE
    q = x / scale
    np.rint(q, out=q)
    # The ends lie half a step outside at most; rounding of the zero point may put them there.
    zero = np.rint(-low / scale)
    np.clip(q, -zero, LEVELS - zero, out=q)
    return scale, q


def _gates(
    settings: Settings, functions: Sequence[Named], peepholes: AnyArray | None
) -> Callable[[Any, Any], Any]:
    """The next h and c of what goes into the gates, and of c."""
    f, g, last = functions
    clipped = bounded(settings.clip)
    size = settings.hidden_size
    parts = np.zeros(3 * size, np.float32) if peepholes is None else peepholes
    of_i, of_o, of_f = np.split(parts, 3)

    def gates(z: AnyArray, c: AnyArray) -> tuple[AnyArray, AnyArray]:
        zi, zo, zf, zc = np.split(z, 4, axis=1)
        i = f(clipped(zi + of_i * c))
        forget = ONE - i if settings.input_forget else f(clipped(zf + of_f * c))
        c = forget * c + i * g(clipped(zc))
        o = f(clipped(zo + of_o * c))
        return o * last(c), c

    return gates


TABLE: Mapping[str, Builder] = {LSTM: _lstm}
