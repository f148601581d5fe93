"""examples/serve_streams.py: the bits of each stream alone, states over a restart, a load test."""

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import pyrnn

for package in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(package)

SCRIPT = Path(__file__).parents[1] / "examples" / "serve_streams.py"
SPEC = importlib.util.spec_from_file_location("serve_streams", SCRIPT)
serve_streams = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(serve_streams)


def models():
    yield serve_streams.make_model()
    yield pyrnn.Sequential(
        rnn=pyrnn.LSTM(8, 5, 2, seed=0),
        more=pyrnn.GRU(5, 3, seed=1),
        out=pyrnn.Linear(3, 2, seed=2),
    )


@pytest.mark.parametrize("model", list(models()), ids=["gru", "lstm and gru"])
def test_each_client_has_the_bits_of_its_own_stream(model, tmp_path):
    """Admitted, evicted, advanced in all sorts of company, written and read in between."""
    generator = np.random.default_rng(0)
    crowd = serve_streams.Crowd(model, 5)
    x = {name: generator.standard_normal((30, 8)).astype("f") for name in "abcdefg"}
    got = {name: [] for name in x}
    for turn in range(60):
        for name in generator.permutation(list(x)):
            if name in crowd.rows and len(got[name]) == 30:
                crowd.evict(name)
            elif len(got[name]) < 30:
                crowd.admit(name)
        able = [name for name in crowd.rows if len(got[name]) < 30]
        chosen = [name for name in able if generator.random() < 0.7]
        if chosen:
            rows = np.stack([x[name][len(got[name])] for name in chosen])
            for name, y in zip(chosen, crowd.step(chosen, rows), strict=True):
                got[name].append(y.copy())
        if turn % 10 == 0:
            crowd.snapshot(tmp_path / "snapshot.npz")
            crowd = serve_streams.Crowd(model, 5)
            crowd.restore(tmp_path / "snapshot.npz")
    assert sum(len(outputs) == 30 for outputs in got.values()) >= 5
    for name, outputs in got.items():
        if outputs:
            expected = model(x[name][:, None])[0][: len(outputs), 0]
            np.testing.assert_array_equal(np.stack(outputs), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.npz"]


def test_any_name_comes_back_from_a_snapshot(tmp_path):
    names = ["", "a", "a\0", "a\0\0", "\ud800", "é", "x" * 5000]
    crowd = serve_streams.Crowd(serve_streams.make_model(), 8)
    for number, name in enumerate(names):
        crowd.admit(name)
        for _ in range(number):
            crowd.step([name], np.full((1, 8), number, "f"))
    crowd.snapshot(tmp_path / "s.npz")
    other = serve_streams.Crowd(serve_streams.make_model(), 8)
    other.restore(tmp_path / "s.npz")
    assert [other.hello(name) for name in names] == [crowd.hello(name) for name in names]
    assert other.counts[[other.rows[name] for name in names]].tolist() == list(range(7))


def test_the_snapshot_of_another_model(tmp_path):
    first, second = models()
    serve_streams.Crowd(first, 3).snapshot(tmp_path / "s.npz")
    with pytest.raises(ValueError, match=r"s\.npz: expected states of this model"):
        serve_streams.Crowd(second, 3).restore(tmp_path / "s.npz")


def test_a_step_that_fails_is_the_end_of_none_but_its_clients():
    async def run():
        crowd = serve_streams.Crowd(serve_streams.make_model(), 2)
        batcher = serve_streams.Batcher(crowd)
        crowd.admit("a")
        task = asyncio.create_task(batcher.run())
        with pytest.raises(KeyError):  # nobody has admitted it
            await batcher.step("b", np.zeros(8, "f"))
        y = await batcher.step("a", np.zeros(8, "f"))
        task.cancel()
        return serve_streams.COUNT.unpack(y[:8])

    assert asyncio.run(asyncio.wait_for(run(), 30)) == (1,)


def test_no_room_and_room_again():
    crowd = serve_streams.Crowd(serve_streams.make_model(), 1)
    assert crowd.admit("a")
    assert not crowd.admit("b")
    crowd.step(["a"], np.ones((1, 8), "f"))
    crowd.evict("a")
    assert crowd.admit("b")
    assert not any(part.any() for part in crowd.states)


@pytest.fixture
def server(tmp_path):
    """Starts servers on one port; each goes on with the snapshot of the one before."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    processes = []

    def start(*arguments):
        command = [sys.executable, "-P", "-W", "ignore", SCRIPT, "serve", "--port", str(port)]
        process = subprocess.Popen(
            [*command, "--snapshot", tmp_path / "s.npz", *arguments],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5).close()
                return process
            except OSError:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.05)
        raise AssertionError("the server has not started")

    start.url = f"ws://127.0.0.1:{port}"
    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process):
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM), err
    return err


@pytest.mark.skipif(os.name == "nt", reason="needs SIGTERM")
def test_nothing_is_lost_when_the_server_is_restarted(server):
    first = server()

    async def run():
        loaded = asyncio.create_task(serve_streams.load(server.url, 20, 600, 8))
        await asyncio.sleep(0.2)
        assert not loaded.done()
        assert "Traceback" not in await asyncio.to_thread(stop, first)
        await asyncio.to_thread(server)
        return await loaded

    latencies, _, samples, outputs = asyncio.run(asyncio.wait_for(run(), 90))
    assert {len(own) for own in outputs} == {600}
    assert serve_streams.check(serve_streams.make_model().eval(), samples, outputs)
    assert len(latencies) <= 20 * 600  # some outputs came with the greeting of the second server


def test_what_a_server_refuses(server):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    process = server("--capacity", "1")
    with connect(f"{server.url}/stream/a") as one:
        assert one.recv() == bytes(8 + 16)
        with connect(f"{server.url}/stream/b") as other, pytest.raises(ConnectionClosed) as full:
            other.recv()
        assert full.value.rcvd.code == serve_streams.FULL
        with connect(f"{server.url}/stream/a") as other, pytest.raises(ConnectionClosed) as busy:
            other.recv()
        assert busy.value.rcvd.code == serve_streams.BUSY
    short = (b"", bytes(5), bytes(28), bytes(31), bytes(64), "text", "")
    for message in (*short, *(np.full(8, n, "<f4").tobytes() for n in (np.nan, -np.inf))):
        with connect(f"{server.url}/stream/a") as one:
            assert one.recv() == bytes(8 + 16)  # none of them has counted
            one.send(message)
            with pytest.raises(ConnectionClosed) as wrong:
                one.recv()
        assert wrong.value.rcvd.code == serve_streams.WRONG
    assert "Traceback" not in stop(process)


@pytest.mark.long
@pytest.mark.parametrize("clients", [100, 1000])
def test_under_load(clients, server, capsys):
    process = server()
    latencies, seconds, samples, outputs = asyncio.run(
        asyncio.wait_for(serve_streams.load(server.url, clients, 40, 8), 300)
    )
    serve_streams.show(latencies, seconds, clients)
    assert f"{clients} streams: " in capsys.readouterr().out
    assert serve_streams.check(serve_streams.make_model().eval(), samples, outputs)
    stop(process)
