"""Rules for faults that one step of one sequence shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from pyrnn._types import Array
from pyrnn.diagnostics._diagnosis.roles import NAMES, Role, close, role_of, vectors
from pyrnn.diagnostics._diagnosis.trials import STATE, Comparison, Trial, Trials

Finding = tuple[str, str]
"""A region and a sentence."""


def not_live(trials: Trials) -> list[Finding]:
    """Parameters that the outputs do not depend on, though they have a gradient."""
    trial = trials.at(3 if trials.axes.time is not None else 1, 2 if trials.batched else 1)
    dead = [
        name
        for name in trial.parameters
        if is_dead(trial.compared(name)) and not trials.reads(name, trial)
    ]
    if not dead:
        return []
    which = "any parameter" if len(dead) == len(trial.parameters) else " and ".join(dead)
    return [
        (
            "not live",
            f"the output does not depend on {which}: is `parameters` what forward reads?",
        )
    ]


def one_step(trials: Trials) -> list[Finding]:
    """What is wrong with T = 1 and N = 1."""
    trial = trials.at(1, 1)
    wrong = trial.wrong()
    if not wrong:
        return []
    if all(not np.any(trial.found.analytic[name]) for name in trial.names):
        return [("time index", "with one step every gradient is 0: the loop leaves a step out")]
    known = vectors(trials, trial)
    parameters = [name for name in wrong if name in trial.parameters]
    if not parameters:
        return _below(trial, known, wrong)
    misshapen = [shape for name in parameters if (shape := wrong_shape(trials, name))]
    if misshapen:
        return misshapen
    outputs = output_parameters(trials)
    if all(name in outputs for name in parameters):
        return [("output layer", f"only the output layer's {' and '.join(parameters)} is wrong")]
    misplaced = [_misplaced(trial.compared(name), known) for name in parameters]
    found = list(dict.fromkeys(finding for finding in misplaced if finding))
    if all(misplaced):
        return found
    if _biases_are_right(trial, wrong):
        multiples = [_multiple(trial.compared(name)) for name in parameters]
        if all(multiples):
            return [finding for finding in multiples if finding]
        return found or [
            (
                "time index",
                f"the gradients of the biases are right, and so is dz; look at what dz multiplies "
                f"with in that of {_listed(parameters)}",
            )
        ]
    transposed = _transposed_on_the_way(trial, parameters)
    if transposed:
        return transposed
    if outputs and not any(name in trials.at(1, 1, STATE).wrong() for name in parameters):
        return [
            (
                "output layer",
                "the gradients are right for the state and wrong for the output: look at what the "
                "output layer hands down",
            )
        ]
    if trial.found.outputs.state and not trials.at(1, 1, 0).wrong():
        return [
            (
                "carry",
                "right for the outputs and wrong for the state after the last step: is its "
                "gradient where the backward pass starts?",
            )
        ]
    return [
        (
            "activation",
            f"wrong from T=1, N=1 on, in {_listed(parameters)}: look at the derivative of the "
            "activation",
        )
    ]


def wrong_shape(trials: Trials, name: str) -> Finding | None:
    """What a gradient of another shape than its parameter's tells, with one sequence and two."""
    comparison = trials.at(1, 1).compared(name)
    if comparison.shaped:
        return None
    transposed = transposed_gradient(comparison)
    if transposed:
        return transposed
    shapes = [comparison.analytic.shape]
    if trials.batched:
        shapes.append(trials.at(1, 2).compared(name).analytic.shape)
    says = f"the gradient of {name} has shape {shapes[-1]}, {name} itself {comparison.shape}"
    if shapes[0] != shapes[-1]:
        return ("batch sum", f"{says}: sum it over the sequences")
    return ("batch sum", f"{says}: look at the axes that its sum over the sequences keeps")


def _multiple(comparison: Comparison) -> Finding | None:
    """A gradient that is a number times the right one, beside a dz that is right."""
    if not comparison.shaped or not np.any(comparison.numeric) or not np.any(comparison.block):
        return None
    place = np.unravel_index(np.argmax(np.abs(comparison.numeric)), comparison.numeric.shape)
    factor = float(comparison.block[place] / comparison.numeric[place])
    if not close(comparison.block, factor * comparison.numeric):
        return None
    return (
        "accumulation",
        f"the gradient of {comparison.name} is {factor:.6g} times the right one: look at how it is "
        "added up",
    )


def _biases_are_right(trial: Trial, wrong: list[str]) -> bool:
    """Whether there are biases with right gradients only: then each dz is right too."""
    biases = [name for name in trial.parameters if _is_vector(trial.found.arrays[name])]
    return bool(biases) and not any(name in wrong for name in biases)


def _is_vector(array: Array) -> bool:
    return array.size == max(array.shape, default=1)


def _transposed_on_the_way(trial: Trial, parameters: list[str]) -> list[Finding]:
    """A matrix W whose own gradient is right, that hands down W dz instead of Wᵀ dz.

    A gate within a product, as a GRU's reset gate, sees it in its gradient, number by number.
    """
    for name in parameters:
        wrong = trial.compared(name)
        if not wrong.shaped or wrong.analytic.ndim not in (1, 2):
            continue
        numeric = _of_rows(wrong.numeric, wrong.numeric)
        analytic = _of_rows(wrong.block, wrong.numeric)
        rows = wrong.grid[int(np.argmax(wrong.analytic.shape)) if _is_vector(wrong.analytic) else 0]
        for other, weight, dz in _right_matrices(trial):
            for block in (weight[:, : len(weight)], weight[:, -len(weight) :]):
                if block.shape != (len(weight), len(weight)) or rows[-1] >= len(weight):
                    continue
                right, across = (block.T @ dz)[rows], (block @ dz)[rows]
                if close(analytic * right, numeric * across) and not close(right, across):
                    return [
                        (
                            "transpose",
                            f"the gradient of {name} has {other} dz in it; it should be its "
                            "transpose times dz",
                        )
                    ]
    return []


def _right_matrices(trial: Trial) -> Iterator[tuple[str, Array, Array]]:
    """The matrices whose gradient is right, with their dz up to a factor."""
    for name in trial.parameters:
        compared, weight = trial.compared(name), trial.found.arrays[name]
        if weight.ndim == 2 and not _is_vector(weight) and compared.right:
            gradient = np.asarray(compared.analytic, dtype=np.float64)
            yield name, weight, _of_rows(gradient, gradient)


def _of_rows(gradient: Array, numeric: Array) -> Array:
    """The dz of one step, up to a factor that the numeric gradient decides."""
    if _is_vector(gradient):
        return gradient.reshape(-1)
    product: Array = gradient @ np.linalg.svd(numeric)[2][0]
    return product


def output_parameters(trials: Trials) -> list[str]:
    """Parameters that outputs depend on and states do not.

    Of a pair of functions none: their outputs are the states, a and c.
    """
    trial = trials.at(1, 1)
    if not trial.found.outputs.state or hasattr(trials.target, "others"):
        return []
    of_state = trials.at(1, 1, STATE)
    return [
        name
        for name in trial.parameters
        if np.any(trial.compared(name).numeric) and not np.any(of_state.compared(name).numeric)
    ]


def is_dead(comparison: Comparison) -> bool:
    """Whether an array has a gradient though the outputs do not change with it."""
    return comparison.shaped and not np.any(comparison.numeric) and bool(np.any(comparison.block))


def transposed_gradient(comparison: Comparison) -> Finding | None:
    """A gradient that is the transpose of what it should be, square or not."""
    name, shape = comparison.name, comparison.analytic.shape
    wrong_shape = not comparison.shaped and len(shape) == 2 and shape == comparison.shape[::-1]
    if wrong_shape:
        return (
            "transpose",
            f"the gradient of {name} has shape {shape}, that of its transpose: {name} has "
            f"{comparison.shape}",
        )
    if not comparison.shaped or len(shape) != 2 or shape[0] != shape[1]:
        return None
    flipped = np.asarray(comparison.analytic.T[np.ix_(*comparison.grid)], dtype=np.float64)
    if not close(flipped, comparison.numeric):
        return None
    return ("transpose", f"the gradient of {name} is the transpose of what it should be")


def _misplaced(comparison: Comparison, known: dict[str, Array]) -> Finding | None:
    """A matrix's gradient that is an outer product with another vector than it should be."""
    if not comparison.shaped:
        return None
    role = role_of(comparison, known)
    if role is None:
        return None
    name, block = comparison.name, comparison.block
    if not np.any(block):
        return ("time index", f"the gradient of {name} is 0: it multiplies with a state of zeros")
    transposed = transposed_gradient(comparison)
    if transposed:
        return transposed
    if role.parts(comparison, block)[1] < 1e-4:
        return None
    for key, sequence in known.items():
        other = Role(key, sequence, role.transposed)
        if sequence.shape == role.vectors.shape and other.parts(comparison, block)[1] < 1e-4:
            return (
                "time index",
                f"the gradient of {name} multiplies with {NAMES.get(key, key)}; it should be "
                f"{NAMES.get(role.key, role.key)}",
            )
    return None


def _below(trial: Trial, known: dict[str, Array], wrong: list[str]) -> list[Finding]:
    """Faults in dx or the state's gradient, if the parameters' gradients are right."""
    return [
        finding
        for name in wrong
        for finding in [_handed_down(trial, known, name)]
        if name == "x" or name.startswith("state")
    ]


def _handed_down(trial: Trial, known: dict[str, Array], name: str) -> Finding:
    """What is wrong with the gradient of x or of a state, which is Σ Wᵀ dz over the weights W."""
    comparison = trial.compared(name)
    if comparison.shaped and not np.any(comparison.block) and name != "x":
        return ("carry", "the gradient of the state before is 0, already for one step")
    if comparison.shaped:
        analytic = np.asarray(comparison.analytic, dtype=np.float64).reshape(-1)
        right, transposed = _products(trial, known, name)
        if right is not None and close(transposed, analytic) and not close(right, analytic):
            return ("transpose", f"the gradient of {name} is W dz; it should be Wᵀ dz")
        if right is not None and close(_unfactored(trial, known, name), analytic):
            return (
                "activation",
                f"the gradient of {name} leaves out the derivative of the activation: it is Wᵀ dh; "
                "it should be Wᵀ dz",
            )
    if name == "x" and _is_a_part(trial, known, comparison):
        return (
            "accumulation",
            "the gradient of x has Wᵀ dz of some matrices W alone: is it `=` where `+=` is meant?",
        )
    if name == "x":
        return ("transpose", "only the gradient of x is wrong: it should be Wᵀ dz, W those of x")
    return (
        "carry",
        "right for the parameters and wrong for the state before, already for one step: look at "
        "what is handed to the step before",
    )


def _is_a_part(trial: Trial, known: dict[str, Array], comparison: Comparison) -> bool:
    """Whether the gradient of x is a sum of some of the terms Wᵀ dz that it should be made of."""
    if not comparison.shaped:
        return False
    terms = [weight.T @ dz for weight, dz in _weights_of(trial, known, comparison.name)]
    analytic = np.asarray(comparison.analytic, dtype=np.float64).reshape(-1)
    sizes = range(1, min(len(terms), 6))
    return any(
        close(np.sum(some, axis=0), analytic)
        for size in sizes
        for some in itertools.combinations(terms, size)
    )


def _products(trial: Trial, known: dict[str, Array], name: str) -> tuple[Array | None, Array]:
    """Σ Wᵀ dz and Σ W dz over the weights that multiply with x or with the state before."""
    size = trial.found.arrays[name].size
    right, transposed = np.zeros(size), np.zeros(size)
    used = False
    for weight, dz in _weights_of(trial, known, name):
        used = True
        right = right + weight.T @ dz
        if len(weight) % size == 0:  # gates may be stacked
            for rows in range(0, len(weight), size):
                transposed = transposed + weight[rows : rows + size] @ dz[rows : rows + size]
    return (right if used else None), transposed


def _unfactored(trial: Trial, known: dict[str, Array], name: str) -> Array:
    """Wᵀ dh of the one matrix there is, dh the weights of the outputs."""
    weights = _weights_of(trial, known, name)
    dh = (
        np.sum([part.reshape(-1) for part in trial.found.probe.weights if part.size], axis=0)
        if len({part.size for part in trial.found.probe.weights}) == 1
        else np.zeros(0)
    )
    if len(weights) != 1 or weights[0][0].shape[0] != dh.size:
        return np.zeros(0)
    product: Array = weights[0][0].T @ dh
    return product


def _weights_of(trial: Trial, known: dict[str, Array], name: str) -> list[tuple[Array, Array]]:
    """The matrices that multiply with x or the state before, as (R, C), and their true dz."""
    part = "x" if name == "x" else "before"
    found = []
    for parameter in trial.parameters:
        comparison = trial.compared(parameter)
        role = role_of(comparison, known)
        weight = trial.found.arrays[parameter]
        if role is None and part == "x" and "x" in known:
            found += _columns_of_x(comparison, weight, known["x"][0])
        if role is None or part not in role.key.split(", "):
            continue
        analytic = np.asarray(comparison.analytic, dtype=np.float64)
        weight, analytic = (weight.T, analytic.T) if role.transposed else (weight, analytic)
        vector = role.vectors[0]
        dz = analytic @ vector / (vector @ vector)
        if role.key != part:
            width = known[part].shape[1]
            weight = weight[:, :width] if role.key.startswith(part) else weight[:, -width:]
        found.append((weight, dz))
    return found


def _columns_of_x(comparison: Comparison, weight: Array, x: Array) -> list[tuple[Array, Array]]:
    """The columns that multiply with x, where others multiply with what comes of the state."""
    gradient = np.asarray(comparison.analytic, dtype=np.float64)
    if not comparison.shaped or gradient.ndim != 2 or gradient.shape[1] < len(x):
        return []
    for columns in (slice(-len(x), None), slice(0, len(x))):
        block = gradient[:, columns]
        dz = block @ x / (x @ x)
        if np.any(dz) and close(np.outer(dz, x), block):
            return [(weight[:, columns], dz)]
    return []


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
