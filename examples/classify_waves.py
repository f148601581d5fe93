"""Train an LSTM and a linear layer with Adam to tell noisy sine, square and sawtooth waves apart.

A training step is spelled out: forward, loss, backward, clipping, update.
"""

import numpy as np

import pyrnn

TIME, BATCH, HIDDEN, CLASSES = 40, 32, 32, 3


def waves(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A batch of noisy waves of random period and phase (T, N, 1), and their kinds (N,)."""
    kinds = generator.integers(CLASSES, size=BATCH)
    cycles = np.arange(TIME)[:, None] / generator.uniform(10, 20, BATCH) + generator.random(BATCH)
    shapes = np.stack([np.sin(2 * np.pi * cycles), np.sign(cycles % 1 - 0.5), 2 * (cycles % 1) - 1])
    x = shapes[kinds, :, np.arange(BATCH)].T + generator.normal(0, 0.3, (TIME, BATCH))
    return x[..., None].astype(np.float32), kinds


def main(steps: int = 150) -> None:
    """Train on fresh batches, then count right answers on batches not seen before."""
    generator = np.random.default_rng(0)
    lstm = pyrnn.LSTM(1, HIDDEN, seed=1)
    linear = pyrnn.Linear(HIDDEN, CLASSES, seed=2)
    # The two layers' names do not overlap, so one dict and one optimiser can hold them all.
    parameters = {**lstm.parameters, **linear.parameters}
    optimizer = pyrnn.Adam(parameters, lr=2e-2)

    for step in range(1, steps + 1):
        x, kinds = waves(generator)
        y, _, lstm_cache = lstm.forward(x)
        logits, _, linear_cache = linear.forward(y)
        # Every step must name the kind of wave, from the steps before it.
        targets = np.broadcast_to(kinds, (TIME, BATCH))
        loss, dlogits = pyrnn.softmax_cross_entropy(logits, targets)

        dy, _, linear_grads = linear.backward(linear_cache, dlogits)
        _, _, lstm_grads = lstm.backward(lstm_cache, dy)

        grads = lstm_grads | linear_grads
        pyrnn.clip_grad_norm(grads, 1.0)
        optimizer.step(grads)
        if step % 50 == 0:
            print(f"step {step:3}  loss {loss:.3f}")

    tests = [waves(generator) for _ in range(10)]
    right = sum(int((linear(lstm(x)[0][-1]).argmax(axis=1) == kinds).sum()) for x, kinds in tests)
    print(f"right: {right} of {10 * BATCH}")


if __name__ == "__main__":
    main()
