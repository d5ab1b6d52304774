"""What one prediction costs through the whole server, beside a bare ASGI route that runs the same model.

    .venv/bin/python -m bench.serving [--seconds 4] [--features 30] [--connections 1]

Both servers run uvicorn in a process of their own and are asked over keep-alive connections with the same rows. The
figure is CPU per request of the server's process, and its ratio to the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

MODEL = "forest"


def fitted(features: int) -> dict[str, bytes]:
    """A random forest's model tree."""
    from sklearn.ensemble import RandomForestClassifier

    from millrace.pipelines import models
    from millrace.pipelines.signature import Input, Signature

    random = np.random.default_rng(0)
    matrix = random.normal(size=(2_000, features)).astype(np.float32)
    target = (matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + random.normal(size=2_000) > 0).astype(int)
    forest = RandomForestClassifier(100, max_depth=8, random_state=0).fit(matrix, target)
    inputs = tuple(Input(f"f{place}", "number") for place in range(features))
    return models.pack_matrix(forest, Signature(inputs, "y", "binary", (0, 1)), matrix)


def floor(files: dict[str, bytes], features: int, listener: socket.socket) -> None:
    """The bare route: parse, run, answer; nothing else."""
    import uvicorn

    from millrace.http.speaks.oip import Question
    from millrace.pipelines import compiling, models

    manifest = msgspec.json.decode(files["model.json"], type=models.Manifest)
    run = compiling.onnx_runner(files["model.onnx"], manifest.signature)
    decode, encode = msgspec.json.Decoder(Question).decode, msgspec.json.encode

    async def bare(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        body = (await receive())["body"]
        matrix = np.array([tensor.data for tensor in decode(body).inputs], np.float32).T
        score = run(np.ascontiguousarray(matrix)).tolist()
        answer = encode({"outputs": [{"name": "score", "datatype": "FP64", "shape": [len(score)], "data": score}]})
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
        )
        await send({"type": "http.response.body", "body": answer})

    settings = uvicorn.Config(
        bare, log_config=None, access_log=False, lifespan="off", proxy_headers=False, loop="uvloop", http="httptools"
    )
    uvicorn.Server(settings).run(sockets=[listener])


def whole(folder: str, listener: socket.socket) -> None:
    """Millrace itself."""
    import uvicorn

    from millrace.assemble import open_platform
    from millrace.http.application import Application
    from millrace.http.server import settings_for

    uvicorn.Server(settings_for(Application(open_platform(folder)))).run(sockets=[listener])


def prepare(folder: str, files: dict[str, bytes]) -> None:
    from millrace.assemble import open_platform
    from millrace.store import tree as trees

    platform = open_platform(folder)
    platform.call("model.make", {"name": MODEL})
    tree = trees.make(platform.ground.blobs, files)
    platform.call("model.register", {"model": MODEL, "tree": tree})
    platform.call("endpoint.make", {"name": MODEL, "model": MODEL})
    platform.call("endpoint.route", {"endpoint": MODEL, "arms": [{"number": 1, "weight": 10_000}]})
    platform.close()


def body(features: int, rows: int) -> bytes:
    values = np.random.default_rng(1).normal(size=(features, rows)).round(4).tolist()
    inputs = [
        {"name": f"f{place}", "datatype": "FP32", "shape": [rows], "data": values[place]} for place in range(features)
    ]
    return msgspec.json.encode({"inputs": inputs})


async def load(port: int, content: bytes, connections: int, seconds: float) -> list[float]:
    """Latencies in seconds of all requests."""
    lines = (f"POST /v2/models/{MODEL}/infer HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(content)}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    request = head.encode() + content
    found: list[float] = []
    end = perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while perf_counter() < end:
            started = perf_counter()
            writer.write(request)
            told = await reader.readuntil(b"\r\n\r\n")
            assert told.startswith(b"HTTP/1.1 200"), told
            length = next(line for line in told.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            found.append(perf_counter() - started)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return found


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    name: str, start: Callable[[socket.socket], None], content: bytes, connections: int, seconds: float
) -> float:
    """CPU µs a request of the server that `start` runs in a process of its own; prints the row."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    process = multiprocessing.get_context("fork").Process(target=start, args=(listener,), daemon=True)
    process.start()
    try:
        asyncio.run(load(listener.getsockname()[1], content, connections, 0.5))
        assert process.pid is not None
        before = cpu_s(process.pid)
        taken = asyncio.run(load(listener.getsockname()[1], content, connections, seconds))
        cost = (cpu_s(process.pid) - before) / len(taken) * 1e6
    finally:
        process.terminate()
        process.join()
        listener.close()
    ordered = sorted(taken)
    p50, p99 = statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3
    rate = len(taken) / seconds
    sys.stdout.write(f"{name:<10} {cost:8.0f} µs CPU a request   p50 {p50:.3f} ms   p99 {p99:.3f} ms   {rate:8.0f}/s\n")
    return cost


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 32])
    options = parser.parse_args()
    files = fitted(options.features)
    content = body(options.features, options.rows)
    sys.stdout.write(f"random forest of 100 trees, {options.features} features, {options.rows} rows a request\n")
    for connections in options.connections:
        sys.stdout.write(f"{connections} connections\n")
        with tempfile.TemporaryDirectory() as folder:
            prepare(folder, files)
            bare = measure("floor", partial(floor, files, options.features), content, connections, options.seconds)
            ours = measure("millrace", partial(whole, folder), content, connections, options.seconds)
        sys.stdout.write(f"ratio {ours / bare:.2f}\n")


if __name__ == "__main__":
    main()
