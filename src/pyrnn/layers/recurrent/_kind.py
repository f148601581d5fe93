"""What recurrent layers and cells share: their options and the sizes that follow from these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from pyrnn import _checks
from pyrnn._types import Array, OneStep
from pyrnn.backend import selection
from pyrnn.layers import _options, initializers
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Option
from pyrnn.layers.initializers import Initialization
from pyrnn.parameters import shapes


class Kind(Layer):
    """Base of the layers and cells of a kind; a subclass says which cell its options mean."""

    input_size: Option[int] = Option(_checks.size)
    hidden_size: Option[int] = Option(_checks.size)
    bias: Option[bool] = Option(_checks.flag)
    seed: Option[int | None] = Option(_options.seed, shown=False)
    initialization: Option[Initialization] = Option(initializers.scheme_name, shown=False)

    _ready: tuple[Any, OneStep] = (object(), lambda x, state: None)
    """In eval mode: the chosen backend, and what computes a call of one step, for `shortcut`."""

    _state_names: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def cell(self) -> str:
        """The name of the cell that computes a step."""
        raise NotImplementedError

    @property
    def _output_size(self) -> int:
        """Features of h, and so of y in one direction."""
        return self.hidden_size

    def _state_sizes(self) -> dict[str, int]:
        """Features of each part of the state: h, then c."""
        sizes = (self._output_size, self.hidden_size)
        return dict(zip(self._state_names, sizes, strict=False))

    def _one_step(self) -> OneStep:
        """What computes a call of one step in eval mode."""
        chosen = selection.chosen()
        ready = self._ready
        return ready[1] if ready[0] is chosen else self._make_ready(chosen)

    def _make_ready(self, chosen: selection.Backend | None) -> OneStep:
        """Set `_ready`, which `_not_ready` unsets after anything that it depends on has changed.

        Another thread may change that meanwhile: so it is looked at again at last.
        """
        raise NotImplementedError

    def _not_ready(self) -> None:
        self.__dict__.pop("_ready", None)

    def _set_training(self, training: bool) -> None:
        super()._set_training(training)
        self._not_ready()

    def __getstate__(self) -> dict[str, Any]:
        attributes = super().__getstate__()
        attributes.pop("_ready", None)
        return attributes

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        super().__setstate__(attributes)
        self._not_ready()

    def _stored(self) -> Mapping[str, Array]:
        return self._parameters

    def _cell_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        """Parameters of one layer in one direction, of which x has that many features."""
        return shapes.of_cell(self.cell, columns, self.hidden_size, self.bias)

    def _draw(self, named: Iterable[tuple[str, tuple[int, ...]]]) -> np.random.Generator:
        """Begin with parameters of these shapes, drawn as the options say; what drew them."""
        forget_bias = getattr(self, "forget_bias", None)
        parameters, generator = initializers.first_values(
            self, named, self.initialization, self.dtype, self.seed, forget_bias
        )
        self._hold(parameters)
        return generator


def check_forget_bias(name: str, value: Any) -> float | None:
    """A number or None; `initializers.first_values` knows what fits the layer."""
    return None if value is None else _checks.finite_number(name, value, -np.inf)
