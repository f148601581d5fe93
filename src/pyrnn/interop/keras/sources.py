"""Which arrays belong to which layer of a model, in every layout that Keras has written.

Keras 3 and late versions of 2 have a group for each layer, with its arrays numbered in ``vars``,
wrappers and cells being groups in it. Older files have a group for each layer, with the names of
its arrays in an attribute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from pyrnn._types import Array
from pyrnn.interop.keras.archive import Archive
from pyrnn.interop.keras.hdf5 import ContentError, Group
from pyrnn.interop.keras.wrappers import unwrapped

MOST_NESTING = 20


class Source(NamedTuple):
    """One layer: its name, what the configuration says of it, and its arrays.

    ``class_name`` is None and ``config`` empty in a file of weights alone. ``arrays`` are those of
    each direction where the file has them apart. ``key`` is the name of its group, ``kept`` what
    `pyrnn.interop.keras.write` has put beside it. ``parts`` are the names of the groups that
    ``arrays`` come from if the layer has its arrays in layers of its own.
    """

    name: str
    class_name: str | None
    config: Mapping[str, Any]
    arrays: tuple[Sequence[Array], ...]
    key: str
    kept: Group | None = None
    parts: tuple[str, ...] = ()


class Configured(NamedTuple):
    """A layer that the configuration names; ``path`` are the models around it and its own name.

    ``side`` is the direction of a Bidirectional that it is, or is in, if each is a layer.
    """

    path: tuple[str, ...]
    class_name: str
    config: Mapping[str, Any]
    keys: tuple[str, ...]
    side: str = ""


def sources(archive: Archive) -> list[Source]:
    """The layers of a file, those with weights at least, in the model's order."""
    configured = configured_in(archive)
    root = archive.root
    weights = root.groups.get("model_weights", root)
    if "layer_names" in weights.attributes:
        return list(_old(weights, configured))
    return list(_new(root, configured))


# --- the configuration ----------------------------------------------------------------------


def configured_in(archive: Archive) -> list[Configured]:
    """The layers that the configuration of a file names, in the model's order."""
    return list(_configured(archive.config, ())) if archive.config else []


def named(configured: Sequence[Configured]) -> dict[str, Configured]:
    """Layers by the names that their sources have."""
    names = _unique([layer.path for layer in configured])
    return dict(zip(names, configured, strict=True))


def _configured(
    model: Mapping[str, Any], around: tuple[str, ...], keys: tuple[str, ...] = ()
) -> Iterator[Configured]:
    """Every layer of a model and of the models in it, in order."""
    if len(around) > MOST_NESTING:
        raise ContentError(f"expected models nested at most {MOST_NESTING} deep")
    for key, name, layer in named_layers(model):
        class_name, config = layer["class_name"], layer["config"]
        path = (*around, name)
        wrapped = config.get("layer") if isinstance(config, dict) else None
        if inner_layers(layer):
            yield from _configured(layer, path, (*keys, key))
        elif isinstance(wrapped, dict) and inner_layers(wrapped):  # of each step
            yield from _configured(wrapped, path, (*keys, key, "layer"))
        elif isinstance(config, dict):
            yield from _each_cell(Configured(path, class_name, config, (*keys, key)))


def sides_of(
    path: tuple[str, ...], class_name: str, config: Mapping[str, Any]
) -> list[list[tuple[str, ...]]]:
    """The paths of the layers that a recurrent one is: for each direction one for each cell.

    A Bidirectional that is one layer of pyrnn counts as one direction.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    for one in _each_cell(Configured(path, class_name, config, ())):
        found.setdefault(one.side, []).append(one.path)
    return list(found.values())


def _each_cell(layer: Configured) -> Iterator[Configured]:
    """An RNN of several cells is as many layers of one cell, one behind the other."""
    if layer.class_name == "Bidirectional" and _is_apart(layer.config):
        for side in _SIDES:
            yield from _each_cell(_side(layer, side))
        return
    stack = layer.config.get("cell") if layer.class_name == "RNN" else None
    if not isinstance(stack, dict) or stack.get("class_name") != "StackedRNNCells":
        yield layer
        return
    config = stack.get("config")
    cells = config.get("cells") if isinstance(config, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ContentError("expected a list of cells in StackedRNNCells")
    counts: dict[str, int] = {}
    for number, cell in enumerate(cells):
        key = counted(str(cell.get("class_name")), counts)
        own = cell.get("config")
        name = own.get("name") if isinstance(own, dict) else None
        options = {**layer.config, "cell": cell}
        if number:  # it has the steps in the order in which the cell before it makes them
            options["go_backwards"] = False
        if number < len(cells) - 1:
            options["return_sequences"] = True
        path, keys = (*layer.path, str(name or key)), (*layer.keys, "cell", "cells", key)
        yield Configured(path, "RNN", options, keys, layer.side)


_SIDES = ("forward", "backward")
_MUST_AGREE = (
    "units", "activation", "recurrent_activation", "use_bias", "reset_after",
)  # fmt: skip


def _is_apart(config: Mapping[str, Any]) -> bool:
    """Whether the directions of a Bidirectional are no one layer of pyrnn."""
    first = config.get("layer")
    second = config.get("backward_layer")
    if not _is_layer(first):
        return False
    if first["config"].get("go_backwards") or _is_stacked(first) or _is_stacked(second):
        return True
    if not _is_layer(second):
        return False
    (_, one), (_, other) = (list(unwrapped(side["class_name"], side["config"]))[-1]
                            for side in (first, second))  # fmt: skip
    if first["class_name"] != second["class_name"]:
        return True
    return any(one.get(name) != other.get(name) for name in _MUST_AGREE)


def _is_layer(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a layer's class and configuration."""
    inner = value.get("config") if isinstance(value, dict) else None
    return isinstance(inner, dict) and isinstance(value.get("class_name"), str)


def _is_stacked(layer: Any) -> bool:
    cell = layer["config"].get("cell") if _is_layer(layer) else None
    return isinstance(cell, dict) and cell.get("class_name") == "StackedRNNCells"


def _side(both: Configured, side: str) -> Configured:
    """One direction of a Bidirectional: its first layer, or its second one or that turned."""
    layer = both.config["layer"]
    config = dict(layer["config"])
    if side == "backward":
        other = both.config.get("backward_layer")
        if _is_layer(other):
            layer, config = other, dict(other["config"])
        else:
            config["go_backwards"] = not config.get("go_backwards")
    name = str(config.get("name")).removeprefix("forward_").removeprefix("backward_")
    path, keys = (*both.path, f"{side}_{name}"), (*both.keys, f"{side}_layer")
    return Configured(path, layer["class_name"], config, keys, side)


def named_layers(model: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The layers that a model has: the key of the group of each, its name, and its entry."""
    counts: dict[str, int] = {}
    for layer in inner_layers(model):
        class_name, config = layer.get("class_name"), layer.get("config")
        if not isinstance(class_name, str) or not isinstance(config, (dict, list)):
            raise ContentError("expected layers with a class and a configuration")
        key = counted(class_name, counts)
        own = config.get("name") if isinstance(config, dict) else None
        yield key, str(own or layer.get("name") or key), layer


def counted(class_name: str, counts: dict[str, int]) -> str:
    """The name of a group: that of the class, with a number from its second layer on."""
    snake = _snake(class_name)
    number = counts[snake] = counts.get(snake, -1) + 1
    return f"{snake}_{number}" if number else snake


def inner_layers(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers that a model has; Keras 1 has them as its configuration itself."""
    config = model.get("config")
    found = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(found, list):
        return []
    return [layer for layer in found if isinstance(layer, dict)]


def _snake(name: str) -> str:
    """As Keras writes a class's name in the names of groups."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# --- Keras 3 --------------------------------------------------------------------------------


class _Saved(NamedTuple):
    """A group that is a layer: the groups that lead there, its own name, and its arrays."""

    keys: tuple[str, ...]
    name: str | None
    arrays: tuple[Sequence[Array], ...]


def _new(root: Group, configured: Sequence[Configured]) -> Iterator[Source]:
    saved = list(_sides_apart(_saved(root, ()), configured))
    left = dict(enumerate(saved))
    names = _unique([layer.path for layer in configured])
    for layer, name in zip(configured, names, strict=True):
        number = next((n for n, one in left.items() if _is(one, layer)), None)
        if number is not None:
            one = left.pop(number)
            key = one.keys[-1]
            kept = root.at("pyrnn", key)
            yield Source(name, layer.class_name, layer.config, one.arrays, key, kept)
            continue
        within = [number for number, one in left.items() if _within(one, layer)]
        if within:
            inner = [left.pop(number) for number in within]
            arrays = tuple(side for one in inner for side in one.arrays)
            parts = tuple(one.keys[-1] for one in inner for _ in one.arrays)
            key = layer.keys[-1]
            yield Source(name, layer.class_name, layer.config, arrays, key, None, parts)
    loose = _unique([(*one.keys[:-1], one.name or one.keys[-1]) for one in left.values()])
    for one, name in zip(left.values(), loose, strict=True):
        if configured and any(one.arrays):
            raise ContentError(
                f"expected weights of layers in the configuration, got {'/'.join(one.keys)}"
            )
        key = one.keys[-1]
        yield Source(name, None, {}, one.arrays, key, root.at("pyrnn", key))


def _sides_apart(saved: Iterable[_Saved], configured: Sequence[Configured]) -> Iterator[_Saved]:
    """The groups; that of two directions as one for each of them where they are two layers."""
    apart = [layer for layer in configured if layer.side]
    for one in saved:
        found = [layer for layer in apart if _is(one, layer._replace(
            path=layer.path[:-1], keys=layer.keys[:-1]))]  # fmt: skip
        if len(found) == len(one.arrays) == len(_SIDES):
            for layer, arrays in zip(found, one.arrays, strict=True):
                yield _Saved(layer.keys, None, (arrays,))
        else:
            yield one


def _is(saved: _Saved, layer: Configured) -> bool:
    """Whether a group is that of a layer: by the group's names, or by the name that it holds."""
    if saved.keys == layer.keys or saved.keys == layer.path:
        return saved.name in (None, layer.path[-1]) or len(layer.path) > 1
    return saved.name == layer.path[-1] and len(saved.keys) == len(layer.path)


def _within(saved: _Saved, layer: Configured) -> bool:
    """Whether a group is in that of a layer, as the parts of a layer that pyrnn does not have."""
    return any(
        len(saved.keys) > len(names) and saved.keys[: len(names)] == names
        for names in (layer.keys, layer.path)
    )


def _saved(group: Group, keys: tuple[str, ...]) -> Iterator[_Saved]:
    """The layers in a group, however deep."""
    for key, inner in group.groups.items():
        parts = [part for part in key.replace("\\", "/").split("/") if part]
        if key == "vars" or not parts:
            continue
        container = parts[-1] in ("layers", "_layer_checkpoint_dependencies", "pyrnn")
        if container:
            if parts[-1] != "pyrnn":
                yield from _saved(inner, keys)
            continue
        path = (*keys, parts[-1])
        arrays = _arrays(inner)
        if arrays is not None:
            yield _Saved(path, _name(inner), arrays)
        else:
            yield from _saved(inner, path)


def _arrays(group: Group, depth: int = 0) -> tuple[Sequence[Array], ...] | None:
    """The arrays of a layer's group; None if it is the group of a model."""
    if "forward_layer" in group.groups:
        sides = [_arrays(group.groups[n], 1) for n in ("forward_layer", "backward_layer")
                 if n in group.groups]  # fmt: skip
        found = tuple(side[0] for side in sides if side)
        return found if len(found) == 2 else None
    for inner in ("cell", "layer"):
        if inner in group.groups and depth < MOST_NESTING:
            return _arrays(group.groups[inner], depth + 1)
    numbered = group.groups["vars"].arrays if "vars" in group.groups else {}
    if not numbered or not all(name.isdecimal() for name in numbered):
        return None
    return ([numbered[name] for name in sorted(numbered, key=int)],)


def _name(group: Group) -> str | None:
    own = group.at("vars")
    name = own.attributes.get("name") if own is not None else None
    return name if isinstance(name, str) else None


def _unique(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """The last names of paths, with those before where one is there twice."""
    last = [path[-1] for path in paths]
    return [path[-1] if last.count(path[-1]) == 1 else "/".join(path) for path in paths]


# --- before ---------------------------------------------------------------------------------


def _old(weights: Group, configured: Sequence[Configured]) -> Iterator[Source]:
    names = weights.attributes["layer_names"]
    if not isinstance(names, list):
        raise ContentError("layer_names: expected a list of names")
    labels = _unique([layer.path for layer in configured])
    by_model: dict[str, list[tuple[Configured, str]]] = {}
    for layer, label in zip(configured, labels, strict=True):
        by_model.setdefault(layer.path[0], []).append((layer, label))
    for name in map(str, names):
        group = weights.groups.get(name)
        if group is None:
            raise ContentError(f"expected a group {name!r}, got none")
        arrays = _named(group, name)
        inside = by_model.get(name, [])
        for layer, label in inside:
            found = _of_path(arrays, layer.path)
            yield Source(label, layer.class_name, layer.config, (found,), layer.path[-1])
        if arrays and not inside:
            yield Source(name, None, {}, (tuple(arrays.values()),), name)


def _of_path(arrays: Mapping[str, Array], path: tuple[str, ...]) -> tuple[Array, ...]:
    """Those of the arrays whose names have all of a path in them, or its end at least."""
    inner = path[1:]
    plain = tuple(name.removeprefix("backward_") for name in inner)  # a backward_layer's own name
    for names in (inner, plain, inner[-1:]):
        found = tuple(array for key, array in arrays.items() if {*names} <= {*key.split("/")[:-1]})
        if found:
            return found
    return ()


def _named(group: Group, name: str) -> dict[str, Array]:
    """The arrays of floats that a group lists, by their paths."""
    listed = group.attributes.get("weight_names", [])
    if not isinstance(listed, list):
        raise ContentError(f"{name}: weight_names: expected a list of names")
    found: dict[str, Array] = {}
    for path in map(str, listed):
        *groups, last = [part for part in path.split("/") if part] or [""]
        here = group.at(*groups)
        if here is not None and last in here.others:
            continue
        if here is None or last not in here.arrays:
            raise ContentError(f"{name}: expected an array {path!r}, got none")
        found[path] = here.arrays[last]
    return found
