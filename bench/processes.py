"""Start servers that a benchmark talks to as processes of their own, and end them with it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parents[1]
READY_S = 90.0
ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def server(kind: str) -> Iterator[str]:
    """Run `python -m bench.servers <kind>`; yields its address as soon as it prints it."""
    command = [sys.executable, "-m", "bench.servers", kind]
    with running(command, {}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"bench server {kind!r} ended before it was ready")
        yield line


@contextmanager
def running(command: list[str], env: Mapping[str, str], stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child process on one numerical thread; asked to end (SIGTERM) when the context closes."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ONE_THREAD, **env}, stdout=stdout)
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
    """A channel that is ready to use."""
    channel = grpc.insecure_channel(address)
    grpc.channel_ready_future(channel).result(timeout=READY_S)
    return channel
