"""A Redis that keeps what it was told, and a PostgreSQL, as processes that can be killed and started again."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
import redis

from services.cli.local import HOST
from services.cli.processes import free_port
from services.common.children import tied
from services.common.local_redis import server_binary

ANSWER_S = 60.0


class RedisProcess:
    """`redis-server` with an append-only file that is synced with every write, or, if `volatile`, without any."""

    def __init__(
        self, folder: Path, *, volatile: bool, binary: str | None = None, host: str = HOST, prefix: Sequence[str] = ()
    ) -> None:
        folder.mkdir(parents=True)
        self._host, self._prefix = host, prefix
        self._binary = binary or server_binary()
        self._folder, self._volatile, self.port = folder, volatile, free_port()
        self.url = f"redis://{host}:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--bind": self._host,
            "--port": str(self.port),
            "--protected-mode": "no",
            "--dir": str(self._folder),
            "--save": "",
            "--logfile": str(self._folder / "redis.log"),
            "--maxmemory": "512mb",
            "--maxmemory-policy": "noeviction",
            "--appendonly": "no" if self._volatile else "yes",
            "--appendfsync": "always",
        }
        command = tied([*self._prefix, self._binary, *(word for pair in options.items() for word in pair)])
        self.process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)

    def wait(self) -> None:
        deadline = time.monotonic() + ANSWER_S
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=None) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    assert time.monotonic() < deadline, "Redis does not answer"
                    time.sleep(0.05)

    def follow(self, primary: "RedisProcess") -> None:
        """Become a replica of another server; returns when it has all that the other one has."""
        self.wait()
        deadline = time.monotonic() + ANSWER_S
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=None) as client:
            client.replicaof(primary._host, str(primary.port))
            while client.info("replication").get("master_link_status") != "up":
                assert time.monotonic() < deadline, "the replica is not in step with its primary"
                time.sleep(0.05)

    def lead(self) -> None:
        """Be a replica no longer."""
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=None) as client:
            client.replicaof("NO", "ONE")

    def stop(self) -> None:
        """End at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def postgresql_binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, None where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


class PostgresProcess:
    """`postgres` with fsync on (the default), in a cluster of its own."""

    def __init__(self, folder: Path) -> None:
        found = postgresql_binaries()
        assert found is not None, "PostgreSQL is not installed (Debian package: postgresql)"
        self._binaries, self._data, self._port = found, folder / "data", free_port()
        self._as_user: list[str] = []
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(folder, "postgres", "postgres")
            for parent in folder.parents:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o001)
        make = [*self._as_user, found / "initdb", "-D", self._data, "-U", "chaos", "-A", "trust", "-E", "UTF8"]
        subprocess.run(make, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        self._log = (folder / "postgres.log").open("ab")
        self.url = f"postgresql+psycopg://chaos@127.0.0.1:{self._port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {"port": self._port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*self._as_user, self._binaries / "postgres", "-D", self._data, *options]
        self.process = subprocess.Popen(
            [*map(str, command)], cwd=self._data, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def wait(self) -> None:
        deadline = time.monotonic() + ANSWER_S
        while True:
            if self.process is not None and self.process.poll() is not None:
                self.start()  # orphans of the killed server still held its memory
            try:
                psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.1)
