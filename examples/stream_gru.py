"""Run a GRU over samples as they arrive, one step at a time; suspend it and continue elsewhere.

The outputs are, bit for bit, those of the whole sequence at once.
"""

import pickle

import numpy as np

import pyrnn


def main() -> None:
    """Stream three sensors' samples through two layers, with a break in the middle."""
    samples = np.random.default_rng(0).standard_normal((100, 1, 3), dtype=np.float32)
    gru = pyrnn.GRU(3, 16, num_layers=2, seed=0).eval()  # eval packs the weights once

    stream = gru.stream()
    y_t = np.empty((1, 16), dtype=np.float32)  # reused at every step
    streamed = [stream.step(x_t, out=y_t).copy() for x_t in samples[:50]]

    # A stream carries its weights and its state: it can be stored, sent, and resumed.
    stored = pickle.dumps(stream)
    resumed = pickle.loads(stored)
    streamed += [resumed.step(x_t, out=y_t).copy() for x_t in samples[50:]]

    y, h = gru(samples)
    print(f"suspended stream: {len(stored):,} bytes")
    print(f"outputs equal, bit for bit: {np.array_equal(streamed, y)}")
    print(f"final state equal: {np.array_equal(resumed.state, h)}")

    resumed.reset()  # a new sequence begins
    print(f"first output again: {np.array_equal(resumed.step(samples[0]), y[0])}")


if __name__ == "__main__":
    main()
