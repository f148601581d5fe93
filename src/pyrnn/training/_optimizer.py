"""What all optimisers share: the parameter arrays, checks, saved state."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from pyrnn import _checks, _pieces
from pyrnn._pickling import Portable, pickled_all, public
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.layers._options import Closed, Part
from pyrnn.parameters import owners
from pyrnn.training._groups import OPTIONS, ParamGroup, make_groups


@public("pyrnn")
class Optimizer(Closed, Portable):
    """Base class of all optimisers: it checks arguments and keeps the moments of each parameter.

    A subclass names its moments in ``_moments``, and says how a step is made in ``_make_step``.

    Parameters
    ----------
    parameters : dict of arrays, or list of dicts
        The live arrays to change: ``layer.parameters``, or those of several layers from
        `pyrnn.merge_parameters`; or groups with options of their own.
    **options
        Learning rate and the others, with their values for groups that do not have their own.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` does not hold contiguous float arrays, or an option is out of range.

    Examples
    --------
    >>> import pyrnn
    >>> adam = pyrnn.Adam(pyrnn.Linear(2, 3).parameters, lr=0.1)
    >>> isinstance(adam, pyrnn.Optimizer)
    True
    >>> adam.lr /= 2  # as any optimiser's, it can be set between steps
    """

    lr: float
    param_groups: Part[tuple[ParamGroup, ...]] = Part()

    def __init__(self, parameters: Any, **options: Any) -> None:
        Part.keep(self, param_groups=tuple(make_groups(parameters, options)))
        self._parameters: dict[str, Array] = {}
        for group in self.param_groups:
            self._parameters |= group.parameters
        self._families = owners.families_of(self._parameters.values())
        self._frozen: frozenset[str] = frozenset()
        self._steps = 0
        self._state: dict[str, dict[str, Array]] = {}
        for group in self.param_groups:
            for moment in self._moments(group.options):
                arrays = self._state.setdefault(moment, {})
                for name, p in group.parameters.items():
                    arrays[name] = _pieces.zeros(p)
        self._plan: _Plan | None = None

    @staticmethod
    def _moments(options: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of what is remembered of each parameter, under these options."""
        return ()

    def __setattr__(self, name: str, value: Any) -> None:
        """Check an option and set it in all groups, with effect from the next step."""
        groups = self.__dict__.get("param_groups")
        if groups is not None and name == "param_groups":
            raise AttributeError(
                "param_groups: expected options to be set in the groups there are, as in "
                "optimizer.param_groups[0]['lr'] = 0.1; for other groups make another optimiser"
            )
        if groups is None or name not in OPTIONS or name not in groups[0].options:
            if groups and name in OPTIONS:  # of another optimiser
                raise AttributeError(
                    f"{name}: {type(self).__name__} has no such option; there are "
                    f"{', '.join(groups[0].options)}"
                )
            super().__setattr__(name, value)
            return
        checked = [group.checked(name, value) for group in groups]
        for group, option in zip(groups, checked, strict=True):
            group.options[name] = option

    def __getattr__(self, name: str) -> Any:
        """An option, of the first group."""
        groups = self.__dict__.get("param_groups")
        if groups and name in groups[0].options:
            return groups[0].options[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def frozen(self) -> list[str]:
        """The names of the parameters that steps leave as they are."""
        return [name for name in self._parameters if name in self._frozen]

    def freeze(self, *patterns: str) -> None:
        """Keep some parameters, and their moments, unchanged in all steps from now on.

        Their gradients may be given to `step` or left out.

        Parameters
        ----------
        *patterns : str
            Names of parameters, or patterns of names as for files: ``"embedding.*"``.

        Raises
        ------
        TypeError, ValueError
            If a pattern is not a string or fits no parameter. Nothing has changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> layer = pyrnn.Linear(2, 1, seed=0)
        >>> optimizer = pyrnn.SGD(layer.parameters, lr=0.1)
        >>> optimizer.freeze("w*")
        >>> optimizer.frozen
        ['weight']
        >>> optimizer.step({"bias": np.ones(1, np.float32)})
        """
        self._set_frozen(self._frozen | self._matching(patterns))

    def unfreeze(self, *patterns: str) -> None:
        """Undo `freeze`, for all parameters if no pattern is given.

        Parameters
        ----------
        *patterns : str
            Names of parameters, or patterns of names as for files: ``"embedding.*"``.

        Raises
        ------
        TypeError, ValueError
            If a pattern is not a string or fits no parameter. Nothing has changed then.

        Examples
        --------
        >>> import pyrnn
        >>> optimizer = pyrnn.SGD(pyrnn.Linear(2, 1, seed=0).parameters)
        >>> optimizer.freeze("*")
        >>> optimizer.unfreeze("bias")
        >>> optimizer.frozen
        ['weight']
        """
        self._set_frozen(self._frozen - self._matching(patterns or ("*",)))

    def _set_frozen(self, names: frozenset[str]) -> None:
        self._frozen, self._plan = names, None

    def _matching(self, patterns: Iterable[str]) -> frozenset[str]:
        found: set[str] = set()
        for pattern in patterns:
            _checks.string("patterns", pattern)
            names = fnmatch.filter(self._parameters, pattern)
            if not names:
                raise ValueError(
                    f"patterns: expected some that fit a parameter, got {_checks.shown(pattern)}; "
                    f"there are {', '.join(self._parameters)}"
                )
            found.update(names)
        return frozenset(found)

    def step(self, grads: Mapping[str, Array]) -> None:
        """Change every parameter by one step.

        A signal such as Ctrl-C takes effect before or after a step, never within it.

        Parameters
        ----------
        grads : dict
            The gradient of every parameter, by the same names, with the same shapes and dtypes.
            It is not changed. Those of frozen parameters may be missing.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        TypeError, ValueError
            If a gradient has another dtype or shape than its parameter, or a parameter is
            read-only, or the gradients are another layer's. Nothing has changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> linear = pyrnn.Linear(2, 1, seed=0)
        >>> optimizer = pyrnn.SGD(linear.parameters, lr=0.1)
        >>> y, _, cache = linear.forward(np.ones((4, 2), np.float32))
        >>> dx, _, grads = linear.backward(cache, np.ones_like(y))
        >>> before = linear.parameters["bias"].copy()
        >>> optimizer.step(grads)
        >>> (linear.parameters["bias"] - before).round(6)
        array([-0.4], dtype=float32)
        """
        plan = self._plan
        if plan is None:
            plan = self._plan = self._make_plan()
        parameters, gradients = self._check_grads(grads, plan)
        backend = selection.current()
        calls: list[partial[Any]] = []
        for part in plan.parts:
            mine = slice(part.start, part.stop)
            options = part.group.options
            calls.append(
                self._make_step(backend, parameters[mine], gradients[mine], part.moments, options)
            )
        calls.append(partial(self.__dict__.__setitem__, "_steps", self._steps + 1))
        # All in one call from Python, after which alone it looks for signals: else Ctrl-C could
        # come between a step and its count.
        deque(map(partial.__call__, calls), maxlen=0)

    def _make_plan(self) -> _Plan:
        """What a step does, as lists that need not be made each time."""
        parts: list[_Part] = []
        names: list[str] = []
        for group in self.param_groups:
            own = [name for name in group.parameters if name not in self._frozen]
            if own:
                kinds = self._moments(group.options)
                moments = [[self._state[kind][name] for name in own] for kind in kinds]
                parts.append(_Part(group, len(names), len(names) + len(own), moments))
                names += own
        return _Plan(parts, names, [self._parameters[name] for name in names])

    def _make_step(
        self,
        backend: selection.Backend,
        p: list[Array],
        g: list[Array],
        moments: list[list[Array]],
        options: Mapping[str, Any],
    ) -> partial[Any]:
        """A call that steps all parameters of a group; moments are those of each kind."""
        raise NotImplementedError

    def _check_grads(
        self, grads: Mapping[str, Array], plan: _Plan
    ) -> tuple[list[Array], list[Array]]:
        """The parameters that change and their gradients, as a backend takes them."""
        if not isinstance(grads, (dict, Mapping)):  # dict first, which is found at once
            raise TypeError(f"grads: expected a dict of arrays, got {type(grads).__name__}")
        _check_names("grads", grads, plan.names, self._frozen)
        if isinstance(grads, owners.Gradients) and not self._families <= grads.families:
            raise ValueError(
                "grads: expected the gradients of the optimiser's parameters, got those of another "
                "layer. For several layers use pyrnn.merge_parameters(a=..., b=...), since "
                "{**a.parameters, **b.parameters} loses what has the same name"
            )
        gradients = [grads[name] for name in plan.names]
        if _checks.fit(plan.arrays, gradients):
            return plan.arrays, gradients
        live = [_checks.as_array(name, p) for name, p in zip(plan.names, plan.arrays, strict=True)]
        checked = []
        for name, p, gradient in zip(plan.names, plan.arrays, gradients, strict=True):
            if not p.flags.writeable:
                raise ValueError(
                    f"{name}: the parameter is read-only; if its layer is in eval mode, call "
                    "train() before step"
                )
            label = f"grads[{name!r}]"
            array = _pieces.dense(_checks.float_array(label, gradient, p.dtype, p.shape))
            checked.append(array.copy() if _checks.shares(array, live) else array)
        return live, checked

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what a later run needs to continue: options, count of steps, moments.

        Returns
        -------
        dict
            ``{"optimizer": name, "param_groups": [{"params": [names], options...}], "frozen":
            [names], "steps": int, "state": {moment: {parameter name: array}}}``.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> sgd = pyrnn.SGD({"w": np.zeros(2)}, lr=0.1, momentum=0.9)
        >>> sgd.step({"w": np.ones(2)})
        >>> sgd.state_dict()["state"]
        {'velocity': {'w': array([1., 1.])}}
        """
        return {
            "optimizer": type(self).__name__,
            "param_groups": [{name: group[name] for name in group} for group in self.param_groups],
            "frozen": self.frozen,
            "steps": self._steps,
            "state": {
                moment: {name: array.copy() for name, array in arrays.items()}
                for moment, arrays in self._state.items()
            },
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned, options included.

        Parameters
        ----------
        state_dict : dict
            From an optimiser of the same class, for parameters of the same names and shapes. It is
            copied.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is another optimiser's, or for other parameters. Nothing has changed then.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> first = pyrnn.Adam({"w": np.zeros(2)}, lr=0.1)
        >>> first.step({"w": np.ones(2)})
        >>> second = pyrnn.Adam({"w": np.zeros(2)})
        >>> second.load_state_dict(first.state_dict())
        >>> second
        Adam(1 parameters, lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict: expected a dict, got {type(state_dict).__name__}")
        expected = ("optimizer", "param_groups", "frozen", "steps", "state")
        _check_names("state_dict", state_dict, expected)
        kind = type(self).__name__
        if state_dict["optimizer"] != kind:
            got = _checks.shown(state_dict["optimizer"])
            raise ValueError(f"state_dict: expected one of {kind}, got {got}")
        steps = _checks.size("state_dict['steps']", state_dict["steps"], 0, _checks.MAX_STEPS)
        loaded = type(self)(self._groups_of(state_dict["param_groups"]))
        loaded._frozen = self._check_frozen(state_dict["frozen"])
        _check_names("state_dict['state']", state_dict["state"], loaded._state)
        for moment, arrays in loaded._state.items():
            where = f"state_dict['state'][{moment!r}]"
            given = state_dict["state"][moment]
            _check_names(where, given, arrays)
            for name, array in arrays.items():
                label = f"{where}[{name!r}]"
                array[...] = _checks.float_array(label, given[name], array.dtype, array.shape)
        loaded._steps = steps
        for mine, other in zip(self.param_groups, loaded.param_groups, strict=True):
            Part.keep(mine, options=other.options)  # whoever holds a group goes on holding it
        self.__dict__.update(loaded.__dict__ | {"param_groups": self.param_groups})

    def _groups_of(self, saved: Any) -> list[dict[str, Any]]:
        """The groups as they are, with the options of a state dict."""
        where = "state_dict['param_groups']"
        if not isinstance(saved, (list, tuple)) or len(saved) != len(self.param_groups):
            got = _checks.shown(saved)
            raise ValueError(f"{where}: expected {len(self.param_groups)} groups, got {got}")
        groups = []
        for number, (mine, other) in enumerate(zip(self.param_groups, saved, strict=True)):
            _check_names(f"{where}[{number}]", other, list(mine))
            if list(other["params"]) != mine["params"]:
                got = _checks.shown(other["params"])
                raise ValueError(
                    f"{where}[{number}]: expected the parameters {mine['params']}, got {got}"
                )
            groups.append({**other, "params": mine.parameters})
        return groups

    def _check_frozen(self, saved: Any) -> frozenset[str]:
        where = "state_dict['frozen']"
        if not isinstance(saved, (list, tuple)):
            raise TypeError(f"{where}: expected a list of names, got {_checks.shown(saved)}")
        for name in saved:
            if name not in self._parameters:
                raise ValueError(f"{where}: expected parameters, got {_checks.shown(name)}")
        return frozenset(saved)

    def __getstate__(self) -> dict[str, Any]:
        moments = {moment: pickled_all(arrays) for moment, arrays in self._state.items()}
        parameters = pickled_all(self._parameters)
        own = {"_parameters": parameters, "_state": moments, "_plan": None}
        return super().__getstate__() | own

    def __repr__(self) -> str:
        options = [f"{n}={value!r}" for n, value in self.param_groups[0].options.items()]
        if len(self.param_groups) > 1:
            options = [f"{len(self.param_groups)} groups"]
        return f"{type(self).__name__}({len(self._parameters)} parameters, {', '.join(options)})"


class _Part(NamedTuple):
    """A group's share of a step: [start, stop) of the parameters that change."""

    group: ParamGroup
    start: int
    stop: int
    moments: list[list[Array]]


class _Plan(NamedTuple):
    """What a step changes: the parameters that are not frozen, group after group."""

    parts: list[_Part]
    names: list[str]
    arrays: list[Array]


def _check_names(
    where: str, given: object, expected: Iterable[str], optional: frozenset[str] = frozenset()
) -> None:
    """Refuse a mapping whose keys are not exactly the expected ones, but for optional ones."""
    if not isinstance(given, (dict, Mapping)):
        raise TypeError(f"{where}: expected a dict, got {type(given).__name__}")
    names = list(expected)
    if names == list(given):
        return
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names and name not in optional]
    if missing or unknown:
        raise KeyError(f"{where}: missing {missing}, unknown {unknown}; expected {names}")
