"""The exchange of gradients begins during the backward pass, and changes no bit."""

import functools

import numpy as np
import pytest

import pyrnn
from pyrnn.distributed import exchange
from tests.distributed import mpiexec
from tests.distributed.threads import on_ranks
from tests.training.run.test_several import EACH, assert_equal, run


@EACH
@pytest.mark.parametrize("ranks", [2, 3])
def test_no_bit_depends_on_when_the_exchange_begins(data, options, ranks, monkeypatch):
    """Also with dropout, clipping, accumulation, and ranks without rows."""
    work = functools.partial(run, data=data, options=options, dropout=0.3)
    after = on_ranks(ranks, work)  # all gradients are in one bucket
    monkeypatch.setattr(exchange, "BUCKET_BYTES", 256)
    assert_equal(on_ranks(ranks, work), after)


def test_products_of_bfloat16(monkeypatch):
    def train(comm):
        model = pyrnn.Sequential(pyrnn.LSTM(3, 8, 2, seed=0), pyrnn.Linear(8, 2, seed=1))
        optimizer = pyrnn.Adam(model.parameters, lr=0.01)
        trainer = pyrnn.Trainer(
            model, "mse", optimizer, seed=0, communicator=comm, clip_grad_norm=0.1, precision="bf16"
        )
        x = np.random.default_rng(0).standard_normal((12, 5, 3)).astype("f")
        trainer.fit((x, x[:, :, :2]), epochs=2, batch_size=6)
        return {n: p.copy() for n, p in model.parameters.items()}

    after = on_ranks(2, train)
    monkeypatch.setattr(exchange, "BUCKET_BYTES", 256)
    assert_equal(on_ranks(2, train), after)


class Watched(pyrnn.GRU):
    """Notes what has begun when its backward pass begins."""

    comm = None

    def backward(self, cache, dy, dstate=None):
        self.seen.append(self.comm.calls.count("Ialltoall"))
        return super().backward(cache, dy, dstate)


def test_the_exchange_begins_before_the_layers_below(monkeypatch):
    monkeypatch.setattr(exchange, "BUCKET_BYTES", 256)

    def train(comm):
        low = Watched(3, 4, seed=0)
        low.comm, low.seen = comm, []
        model = pyrnn.Sequential(
            low=low,
            norm=pyrnn.BatchNorm1d(4),  # whose ranks exchange in the backward pass
            rnn=pyrnn.LSTM(4, 8, 2, seed=1),
            last=pyrnn.LastStep(),
            out=pyrnn.Linear(8, 2, seed=2),
        )
        optimizer = pyrnn.SGD(model.parameters, lr=0.1)
        trainer = pyrnn.Trainer(model, "mse", optimizer, seed=0, communicator=comm)
        x = np.random.default_rng(0).standard_normal((8, 5, 3)).astype("f")
        trainer.fit((x, x[:, 0, :2]), steps=1, batch_size=8)
        return low.seen, comm.calls, {n: p.copy() for n, p in model.parameters.items()}

    got = on_ranks(2, train)
    assert_equal(got[1][2], got[0][2])
    for seen, calls, _ in got:
        assert seen[0] >= 16  # 4 KB of the layers above
        assert calls.count("Ialltoall") == calls.count("Iallgather") > seen[0]


PROGRAM = """
import sys
import numpy as np, pyrnn
from mpi4py import MPI
from pyrnn.distributed import exchange

exchange.BUCKET_BYTES = int(sys.argv[1])
begun = []

class Watched(pyrnn.GRU):
    def backward(self, cache, dy, dstate=None):
        begun.append(trainer._sum._started)
        return super().backward(cache, dy, dstate)

comm = MPI.COMM_WORLD
model = pyrnn.Sequential(
    low=Watched(3, 16, seed=0), norm=pyrnn.BatchNorm1d(16), rnn=pyrnn.LSTM(16, 32, 3, seed=1),
    last=pyrnn.LastStep(), out=pyrnn.Linear(32, 2, seed=2),
)
trainer = pyrnn.Trainer(
    model, "mse", pyrnn.Adam(model.parameters, lr=0.01), seed=0, communicator=comm,
    clip_grad_norm=0.1,
)
x = np.random.default_rng(0).standard_normal((22, 6, 3)).astype("f")
for fit in range(2):
    trainer.fit((x, x[:, 0, :2]), epochs=2 + 2 * fit, batch_size=4)
bits = b"".join(p.tobytes() for p in model.parameters.values())
assert len(set(comm.allgather(bits))) == 1
if comm.Get_rank() == 0:
    import hashlib
    print(min(begun), hashlib.sha256(bits).hexdigest())
"""


@pytest.mark.parametrize("ranks", [2, 3])
def test_with_an_mpi_library(ranks):
    """The last batch of an epoch has 2 rows: of 3 ranks, one has none."""
    found = {}
    for size in (1 << 20, 4096):
        out, err = mpiexec.run(ranks, size, program=("-W", "ignore::RuntimeWarning", "-c", PROGRAM))
        assert not err
        begun, found[size] = out.split()
        assert int(begun) >= 10 if size == 4096 else int(begun) == 0
    assert len(set(found.values())) == 1
