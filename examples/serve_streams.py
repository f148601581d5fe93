"""Serve the streams of many clients, advanced together: python examples/serve_streams.py serve.

Each client has a WebSocket and a state; the samples that have arrived from all clients become one
call of the model, which is far cheaper than a call for each. The command `load` is a client for
measuring, with one outstanding sample per stream. docs/serving.md explains both.

It needs the extra `serve`: pip install 'pyrnn[serve]'.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import secrets
import struct
import time

import numpy as np

import pyrnn

COUNT = struct.Struct("<Q")
"""Before each output: how many samples of the client have been taken."""
FULL, WRONG, BUSY = 1013, 1003, 1008
"""Codes of WebSocket: try again later; data that cannot be taken; against the rules."""


def make_model():
    """What is served if no file is named: 8 numbers in, 4 out."""
    rnn, out = pyrnn.GRU(8, 64, seed=0), pyrnn.Linear(64, 4, seed=1)
    return pyrnn.Sequential(rnn=rnn, out=out)


class Crowd:
    """The states of all clients, side by side in arrays; each client has a row.

    The batch of a step consists of the rows of the clients with a sample. An output does not depend
    on the batch: each client gets the bits that a separate stream would give.
    """

    def __init__(self, model, capacity):
        self.model = model.eval()
        self.features = next(iter(model.layers.values())).input_size
        y, state = self.model(np.zeros((1, 1, self.features), np.float32))
        parts = state if isinstance(state, tuple) else (state,)
        self.states = [np.zeros((len(p), capacity, p.shape[2]), p.dtype) for p in parts]
        self.one_part = not isinstance(state, tuple)
        self.counts = np.zeros(capacity, np.int64)
        self.last = np.zeros(
            (capacity, y.shape[2]), y.dtype
        )  # outputs, for who lost the connection
        self.rows = {}
        self.free = list(range(capacity - 1, -1, -1))

    def admit(self, client):
        """Give a client a row, with a state of zero if it is new; False if there is no room."""
        if client not in self.rows:
            if not self.free:
                return False
            row = self.rows[client] = self.free.pop()
            for part in self.states:
                part[:, row] = 0
            self.counts[row], self.last[row] = 0, 0
        return True

    def evict(self, client):
        """Forget a client."""
        self.free.append(self.rows.pop(client))

    def step(self, clients, x):
        """Advance some clients by a sample each, x of (clients, features); their outputs."""
        rows = [self.rows[client] for client in clients]
        state = tuple(part[:, rows] for part in self.states)
        y, after = self.model(x[None], state[0] if self.one_part else state)
        for part, new in zip(self.states, (after,) if self.one_part else after, strict=True):
            part[:, rows] = new
        self.counts[rows] += 1
        self.last[rows] = y[0]
        return y[0]

    def hello(self, client):
        """What a client is told when it connects: its number of samples, and its last output."""
        row = self.rows[client]
        return COUNT.pack(self.counts[row]) + self.last[row].tobytes()

    def snapshot(self, path):
        """Write all clients to a file, beside its place first."""
        rows = list(self.rows.values())
        arrays = {f"state{number}": part[:, rows] for number, part in enumerate(self.states)}
        file = io.BytesIO()
        np.savez(
            file, clients=np.frombuffer(json.dumps(list(self.rows)).encode(), np.uint8),
            counts=self.counts[rows], last=self.last[rows], **arrays,
        )  # fmt: skip
        beside = f"{path}.{secrets.token_hex(4)}.tmp"
        with open(beside, "wb") as opened:
            opened.write(file.getvalue())
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(beside, path)

    def restore(self, path):
        """Admit all clients of a file, as they were."""
        with np.load(path, allow_pickle=False) as saved:
            arrays = [saved[name] for name in saved.files if name.startswith("state")]
            shapes = [np.delete(part.shape, 1).tolist() for part in self.states]
            if [np.delete(array.shape, 1).tolist() for array in arrays] != shapes:
                raise ValueError(f"{path}: expected states of this model, got another's")
            for number, client in enumerate(json.loads(saved["clients"].tobytes())):
                if not self.admit(client):
                    raise ValueError(f"{path}: expected at most {len(self.counts)} clients")
                row = self.rows[client]
                for part, array in zip(self.states, arrays, strict=True):
                    part[:, row] = array[:, number]
                self.counts[row] = saved["counts"][number]
                self.last[row] = saved["last"][number]


class Batcher:
    """Takes samples from all connections, and makes one step with those that have arrived.

    A step runs in the event loop, because passing it to a thread would cost more than most steps.
    Between two steps the loop reads what has arrived in the meantime.
    """

    def __init__(self, crowd):
        self.crowd = crowd
        self.waiting = {}
        self.arrived = asyncio.Event()
        self.steps = self.samples = 0
        self.longest = 0.0

    async def step(self, client, sample):
        """The output of a client's sample, after its count."""
        future = asyncio.get_running_loop().create_future()
        self.waiting[client] = sample, future
        self.arrived.set()
        return await future

    async def run(self):
        """Step after step, forever."""
        while True:
            await self.arrived.wait()
            await asyncio.sleep(0)  # the loop reads all that has arrived
            self.arrived.clear()
            self.flush()

    def flush(self):
        """One step of all that wait."""
        waiting, self.waiting = self.waiting, {}
        if not waiting:
            return
        begin = time.perf_counter()
        clients = list(waiting)
        try:
            outputs = self.crowd.step(clients, np.stack([sample for sample, _ in waiting.values()]))
        except Exception as error:  # these clients lose their connections, and no sample counts
            for _, future in waiting.values():
                if not future.done():
                    future.set_exception(error)
            return
        self.longest = max(self.longest, time.perf_counter() - begin)
        self.steps, self.samples = self.steps + 1, self.samples + len(clients)
        for client, output, (_, future) in zip(clients, outputs, waiting.values(), strict=True):
            if not future.done():
                count = self.crowd.counts[self.crowd.rows[client]]
                future.set_result(COUNT.pack(count) + output.tobytes())


def sample_of(message, features):
    """The sample that a message of a WebSocket has; None if it has another thing."""
    data = message.get("bytes")
    if data is None or len(data) != 4 * features:
        return None
    sample = np.frombuffer(data, "<f4")
    return sample if np.isfinite(sample).all() else None


def make_app(model, capacity, snapshot=None, idle=600.0):
    """The server: /stream/NAME, a WebSocket for each client, and /stats."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocketDisconnect

    crowd = Crowd(model, capacity)
    connected, left = set(), {}
    if snapshot is not None and os.path.exists(snapshot):
        crowd.restore(snapshot)
        left.update(dict.fromkeys(crowd.rows, time.monotonic()))
    batcher = Batcher(crowd)

    async def stream(socket):
        client = socket.path_params["client"]
        await socket.accept()
        if client in connected or not crowd.admit(client):
            await socket.close(BUSY if client in connected else FULL)
            return
        connected.add(client)
        try:
            await socket.send_bytes(crowd.hello(client))
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                sample = sample_of(message, crowd.features)
                if sample is None:
                    await socket.close(WRONG, f"expected {crowd.features} finite floats")
                    return
                await socket.send_bytes(await batcher.step(client, sample))
        except WebSocketDisconnect:
            pass  # it has gone
        finally:
            connected.discard(client)
            left[client] = time.monotonic()

    async def forget():
        """Evict clients that have been away for long."""
        while True:
            await asyncio.sleep(min(max(idle, 0.05), 1.0))
            for client, since in list(left.items()):
                if client in connected:
                    del left[client]
                elif time.monotonic() - since > idle:
                    del left[client]
                    crowd.evict(client)

    async def stats(request):
        return JSONResponse(
            {
                "clients": len(crowd.rows), "connected": len(connected), "steps": batcher.steps,
                "samples": batcher.samples, "longest_step_ms": 1e3 * batcher.longest,
            }
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def lifespan(app):
        tasks = [asyncio.create_task(batcher.run()), asyncio.create_task(forget())]
        yield
        for task in tasks:
            task.cancel()
        batcher.flush()  # what was accepted counts
        if snapshot is not None:
            crowd.snapshot(snapshot)

    routes = [WebSocketRoute("/stream/{client}", stream), Route("/stats", stats)]
    return Starlette(routes=routes, lifespan=lifespan)


# --- a client, for measuring ----------------------------------------------------------------


async def client(url, name, samples, outputs, latencies):
    """Send samples one after the other, and continue after a lost connection."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake

    while len(outputs) < len(samples):
        with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError, EOFError):
            async with connect(f"{url}/stream/{name}", compression=None) as socket:
                hello = await socket.recv()
                if COUNT.unpack(hello[: COUNT.size])[0] == len(outputs) + 1:
                    outputs.append(hello[COUNT.size :])  # its reply was lost on the way
                while len(outputs) < len(samples):
                    begin = time.perf_counter()
                    await socket.send(samples[len(outputs)].tobytes())
                    reply = await socket.recv()
                    latencies.append(time.perf_counter() - begin)
                    outputs.append(reply[COUNT.size :])
                    if COUNT.unpack(reply[: COUNT.size])[0] != len(outputs):
                        raise SystemExit(f"{name}: the server has lost samples")
                return
        await asyncio.sleep(0.05)


async def load(url, clients, length, features):
    """Latencies of all steps, the time of all, the samples and outputs of each client."""
    samples = np.random.default_rng(0).standard_normal((clients, length, features)).astype("<f4")
    outputs, latencies = [[] for _ in range(clients)], []
    run = secrets.token_hex(4)  # a name of its own, so that the streams are new
    begin = time.perf_counter()
    await asyncio.gather(
        *(client(url, f"{run}-{n}", samples[n], outputs[n], latencies) for n in range(clients))
    )
    return latencies, time.perf_counter() - begin, samples, outputs


def show(latencies, seconds, clients):
    """Percentiles, in a line."""
    p50, p90, p99, most = np.percentile(latencies, [50, 90, 99, 100]) * 1e3
    print(
        f"{clients} streams: {len(latencies) / seconds:,.0f} steps a second; latency in ms: "
        f"median {p50:.2f}, 90 % {p90:.2f}, 99 % {p99:.2f}, most {most:.2f}"
    )


def check(model, samples, outputs):
    """Whether each client has the bits of its samples computed alone."""
    for own, got in zip(samples, outputs, strict=True):
        y = model(own[:, None])[0][:, 0]
        if y.tobytes() != b"".join(got):
            return False
    return True


def main():
    """Serve, or load a server."""
    parser = argparse.ArgumentParser(description="Serve many clients' streams.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a model")
    serve.add_argument("--model", help="a Sequential from pyrnn.save (default: one for trying)")
    serve.add_argument("--capacity", type=int, default=4096, help="clients at most")
    serve.add_argument("--snapshot", help="file that keeps the states over a restart")
    serve.add_argument("--idle", type=float, default=600.0, help="seconds until one is evicted")
    loading = commands.add_parser("load", help="load a server on this machine")
    loading.add_argument("--clients", type=int, default=100)
    loading.add_argument("--steps", type=int, default=100, help="samples of each")
    for command in (serve, loading):
        command.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    if arguments.command == "serve":
        import uvicorn

        pyrnn.set_num_threads(1)  # a step is short; the other cores are for other servers
        model = make_model() if arguments.model is None else pyrnn.load(arguments.model)
        app = make_app(model, arguments.capacity, arguments.snapshot, arguments.idle)
        uvicorn.run(
            app, host="127.0.0.1", port=arguments.port, log_level="warning", ws="websockets-sansio",
            ws_per_message_deflate=False, timeout_graceful_shutdown=5,
        )  # fmt: skip
        return
    model = make_model().eval()
    url = f"ws://127.0.0.1:{arguments.port}"
    latencies, seconds, samples, outputs = asyncio.run(
        load(url, arguments.clients, arguments.steps, 8)
    )
    show(latencies, seconds, arguments.clients)
    print("the bits of each stream alone:", check(model, samples, outputs))


if __name__ == "__main__":
    main()
