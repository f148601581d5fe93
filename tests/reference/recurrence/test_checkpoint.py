"""What a walk with checkpoints keeps, and how little of it is there at a time."""

import tracemalloc

import numpy as np

from pyrnn.reference.recurrence import checkpoint, sequence


def run_of(time_steps):
    generator = np.random.default_rng(0)
    shapes = {"weight_ih": (64, 8), "weight_hh": (64, 16), "bias_ih": (64,), "bias_hh": (64,)}
    parameters = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    run = sequence.Run("lstm", parameters, generator.standard_normal((time_steps, 20, 8)))
    return run, tuple(np.zeros((20, 16)) for _ in range(2))


def kept_bytes(forward):
    """Memory that the results of a forward hold."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    results = forward()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert results
    return after - before


def test_memory():
    run, state = run_of(200)
    everything = kept_bytes(lambda: sequence.forward(run, state))
    little = kept_bytes(lambda: checkpoint.forward(run, state, 14))
    assert little < everything / 5


def test_segments_start_where_states_were_kept(monkeypatch):
    run, state = run_of(7)
    _, _, saved = checkpoint.forward(run, state, 3)
    walked = []
    walk = sequence.walk
    monkeypatch.setattr(
        sequence, "walk", lambda run, state, steps: walked.append(steps) or walk(run, state, steps)
    )
    assert [int(step.times[0]) for step in reversed(saved.steps)] == [6, 5, 4, 3, 2, 1, 0]
    assert walked == [range(6, 7), range(3, 6), range(3)]
    assert [int(step.times[0]) for step in saved.steps] == [0, 1, 2, 3, 4, 5, 6]


def test_steps_can_be_run_again_many_times():
    run, state = run_of(7)
    _, _, plain = sequence.forward(run, state)
    _, _, saved = checkpoint.forward(run, state, 3)
    for _ in range(2):
        for step, expected in zip(saved.steps, plain.steps, strict=True):
            assert np.array_equal(step.saved.c_next, expected.saved.c_next)
