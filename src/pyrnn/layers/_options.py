"""Options of constructors, declared once for checks, `repr`, files, copies and `get_params`.

A class declares each option in its body, with its check; the signature of its ``__init__`` gives
their order and defaults. All else follows from these two.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar, get_args, overload

from pyrnn import _checks
from pyrnn._pickling import Portable

Value = TypeVar("Value")
Self = TypeVar("Self", bound="Configured")

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""


class Option(Generic[Value]):
    """An argument of a constructor that is fixed from then on.

    Parameters
    ----------
    check : callable
        ``check(name, value)`` returns what is kept, or raises an error that begins with the name.
    shown : bool
        Whether `repr` shows it where it is not the default. Options that say how first values are
        drawn, and nothing of what is computed later, are not shown.
    plain : callable, optional
        What stands for a kept value in `Configured.config`, where JSON has no such values.
    """

    settable: ClassVar[bool] = False

    def __init__(
        self,
        check: Callable[[str, Any], Value],
        *,
        shown: bool = True,
        plain: Callable[[Value], Any] | None = None,
    ) -> None:
        self.check: Callable[[str, Any], Value] = check
        self.shown: bool = shown
        self.plain: Callable[[Value], Any] = plain or _as_it_is

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, instance: Any, value: NoReturn) -> None:
        raise AttributeError(
            f"{self.name}: it cannot be changed after construction; make another "
            f"{type(instance).__name__}"
        )

    # Type checkers see a __get__. At run time there is none, so that the instance's dictionary is
    # read, as for any other attribute, and as fast.
    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Option[Value]: ...
        @overload
        def __get__(self, instance: object, owner: type) -> Value: ...
        def __get__(self, instance: object, owner: type) -> Option[Value] | Value: ...


class Mode:
    """Whether a layer or model is in train mode, which ``train`` and ``eval`` change.

    They also change what depends on it: which weights are packed, and which arrays are writeable.
    """

    def __set__(self, instance: Any, value: NoReturn) -> None:
        raise AttributeError(
            f"training: it cannot be set; call train() or eval() of the {type(instance).__name__}"
        )

    @staticmethod
    def switch(instance: object, training: bool) -> None:
        """Set it, for what ``train`` and ``eval`` of a class do."""
        instance.__dict__["training"] = training

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Mode: ...
        @overload
        def __get__(self, instance: object, owner: type) -> bool: ...
        def __get__(self, instance: object, owner: type) -> Mode | bool: ...


class Part(Option[Value]):
    """What a constructor makes of its arguments, and nothing replaces from then on."""

    def __init__(self) -> None:
        super().__init__(lambda name, value: value)

    @staticmethod
    def keep(instance: object, **parts: Any) -> None:
        """Set parts, in a constructor."""
        instance.__dict__.update(parts)


class Setting(Option[Value]):
    """An option that can be set at any time, with effect from the next call."""

    settable = True

    def __set__(self, instance: Any, value: Value) -> None:
        checked = self.check(self.name, value)
        options = instance.__dict__
        if self.name in options:
            instance._check_together({**options, self.name: checked})
        options[self.name] = checked
        options.pop("_ready", None)  # what was prepared with the former value


class Closed:
    """Base class of objects that refuse attributes which they do not have.

    A misspelt one would be set without effect. A subclass of the user's may have its own.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            kind = type(self)
            _check_kind(kind, name, value)
            if _is_own(kind) and not hasattr(kind, name):
                names = ", ".join(_settable_names(kind))
                there_are = f"what can be set is {names}" if names else "nothing of it can be set"
                raise AttributeError(f"{name}: {kind.__name__} has no such attribute; {there_are}")
        super().__setattr__(name, value)

    def _check_together(self, options: Mapping[str, Any]) -> None:
        """Refuse settings that do not go together; called before one of them changes."""


def _settable_names(kind: type) -> list[str]:
    """The attributes of an object that can be set, in the order of their declaration."""
    names: dict[str, None] = {}
    for each in reversed(kind.__mro__):
        for name, attribute in vars(each).items():
            if getattr(attribute, "settable", False) or getattr(attribute, "fset", None):
                names[name] = None
    return list(names)


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "pyrnn"


def _check_kind(kind: type, name: str, value: Any) -> None:
    """Refuse what is no method in place of one, and another type in place of a class's value."""
    known = getattr(kind, name, None)
    if inspect.isroutine(known) and not callable(value):
        raise AttributeError(f"{name}: expected it to be called, not set; it is a method")
    if isinstance(known, (bool, int, str)) and type(value) is not type(known):
        expected = type(known).__name__
        raise TypeError(f"{name}: expected a {expected}, got {_checks.shown(value)}")


class Configured(Portable):
    """Base class of objects with options: layers, cells, models.

    Users may give it attributes of their own, but none that is nearly the name of an option.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            kind = type(self)
            _check_kind(kind, name, value)
            if _is_own(kind) and not hasattr(kind, name):
                meant = difflib.get_close_matches(name, _named_options(kind), 1, cutoff=0.85)
                if meant:
                    raise AttributeError(
                        f"{name}: {kind.__name__} has no such attribute; {meant[0]} is one"
                    )
        super().__setattr__(name, value)

    def _take(self, arguments: Mapping[str, Any]) -> None:
        """Keep those of a constructor's arguments, its ``locals()``, that are options.

        They are checked one by one and together before the first is kept.
        """
        kind = type(self)
        checked = {
            name: option.check(name, value)
            for name, value in arguments.items()
            if isinstance(option := getattr(kind, name, None), Option)
        }
        self._check_together(self.__dict__ | checked)
        self.__dict__.update(checked)

    def _check_together(self, options: Mapping[str, Any]) -> None:
        """Refuse options that do not go together; called before one of them changes."""

    def config(self) -> dict[str, Any]:
        """Return the options by name, ready for JSON, as `from_config` takes them.

        Parameters, modes and states are not included.

        Returns
        -------
        dict
            The options.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.Linear(3, 2, seed=0).config()
        {'in_features': 3, 'out_features': 2, 'bias': True, 'dtype': 'float32', 'seed': 0}
        """
        kind = type(self)
        return {name: _plain(kind, name, getattr(self, name)) for name in defaults_of(kind)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the options by name, under the method's name in scikit-learn.

        Parameters
        ----------
        deep : bool
            Accepted as scikit-learn passes it; it has no effect.

        Returns
        -------
        dict
            The options, as `config` returns them.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.LastStep().get_params()
        {'batch_first': False, 'bidirectional': False, 'reverse': False}
        """
        return self.config()

    @classmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        """Make a new object with the options that `config` returned.

        Parameters
        ----------
        config : dict
            The options by name.

        Returns
        -------
        object
            A new object of this class, with newly drawn parameters.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.GRU.from_config(pyrnn.GRU(3, 4, num_layers=2).config())
        GRU(3, 4, num_layers=2)
        """
        return cls(**config)

    def __repr__(self) -> str:
        defaults = defaults_of(type(self))
        parts = [
            f"{value!r}" if defaults[name] is REQUIRED else f"{name}={value!r}"
            for name, value in changed(self).items()
            if getattr(getattr(type(self), name), "shown", True)
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


def changed(configured: Configured) -> dict[str, Any]:
    """Those of the options, as `Configured.config` has them, that are not at their defaults."""
    config = configured.config()
    defaults = defaults_of(type(configured)).items()
    return {n: config[n] for n, default in defaults if default is REQUIRED or config[n] != default}


def defaults_of(kind: type) -> dict[str, Any]:
    """The options of a class in the order of its constructor, with their defaults.

    A subclass whose constructor takes anything else has those of the class above it.
    """
    for each in kind.__mro__:
        if "__init__" in vars(each):
            _, *arguments = inspect.signature(each.__init__).parameters.values()  # type: ignore[misc]
            options = [a for a in arguments if a.name != "parameters"]  # those are not described
            if all(_is_option(kind, option.name) for option in options):
                return {option.name: option.default for option in options}
    return {}


def one_of(literal: Any) -> Callable[[str, Any], Any]:
    """A check for one of the strings of a `typing.Literal`."""
    return strings(get_args(literal))


def strings(allowed: Iterable[str]) -> Callable[[str, Any], Any]:
    """A check for one of several strings."""
    names = tuple(allowed)
    return lambda name, value: _checks.choice(name, value, names)


def rate(name: str, value: object) -> float:
    """A check for a probability."""
    return _checks.finite_number(name, value, 0.0, 1.0)


def seed(name: str, value: object) -> int | None:
    """A check for what NumPy's generators start from."""
    return None if value is None else _checks.size(name, value, least=0)


def same_tuple(value: Any, checked: tuple[Any, ...]) -> tuple[Any, ...]:
    """What was given, as scikit-learn's clone looks for, if its items are what is kept of them."""
    if not isinstance(value, tuple) or len(value) != len(checked):
        return checked
    pairs = zip(value, checked, strict=True)
    return value if all(type(a) is type(b) and a == b for a, b in pairs) else checked


def _named_options(kind: type) -> list[str]:
    """The names of a class's options, and of its attributes that are properties."""
    return [name for name in dir(kind) if name[0] != "_" and _is_option(kind, name)]


def _is_option(kind: type, name: str) -> bool:
    """Whether a class declares an option of that name; a property may stand for one."""
    return isinstance(getattr(kind, name, None), (Option, property))


def _plain(kind: type, name: str, value: Any) -> Any:
    option = getattr(kind, name)
    return option.plain(value) if isinstance(option, Option) else value


def _as_it_is(value: Any) -> Any:
    return value
