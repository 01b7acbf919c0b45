"""Start servers that a benchmark talks to as processes of their own, and end them with it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from services.cli.processes import free_port

ROOT = Path(__file__).resolve().parents[1]
READY_S = 90.0
ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def reference_server(kind: str, threads: int = 4) -> Iterator[grpc.Channel]:
    """A channel to one of the servers of `bench.servers`."""
    port = free_port()
    with running("bench.servers", [kind, str(port), str(threads)], {}), connect(f"127.0.0.1:{port}") as channel:
        yield channel


@contextmanager
def running(module: str, args: Sequence[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module args` on one numerical thread; asked to end (SIGTERM) when the context closes."""
    command = [sys.executable, "-m", module, *args]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ONE_THREAD, **env})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def connect(address: str) -> grpc.Channel:
    """A channel whose server answers."""
    channel = grpc.insecure_channel(address)
    grpc.channel_ready_future(channel).result(timeout=READY_S)
    return channel
