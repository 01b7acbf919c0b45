"""What listens where a Redis should be may be anything: that is a line and a code, as where nobody listens."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from lwmecps_core.errors import QueueUnavailable
from lwmecps_core.rollout.redis_queue import broker_errors, check_reachable, check_version, connect
from services.cli.doctor import _of_redis
from services.cli.main import app
from services.cli.preflight import check_redis
from services.common.local_redis import LocalRedis
from services.common.worker_reports import WorkerReport, send_report

ANSWERS = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "long": b"x" * 5000 + b"\r\n",
    "yes": b"+OK\r\n" * 9,
    "numbers": b":7\r\n" * 9,
    "no number": b":seven\r\n" * 9,
    "refuses": b"-ERR unknown command\r\n" * 9,
}


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a server that says `answer` to whatever it hears."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(answer)
            self.request.recv(4096)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_redis_is_refused_in_a_line_that_names_the_option(answer: bytes) -> None:
    with answering(answer) as url:
        with pytest.raises(
            QueueUnavailable, match=rf"^--redis-url {url}: .*: start it, or leave the option"
        ) as refused:
            check_redis(url)
        (finding,) = _of_redis(url)
    for text in (str(refused.value), finding.found):
        assert "\n" not in text and len(text) < 400
    assert finding.unreachable and finding.remedy


def test_up_ends_with_the_code_of_a_redis_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("services.cli.local.start_module", None)  # nothing starts
    ports = ["--registry-port=0", "--env-port=0", "--learner-port=0", "--gateway-port=0"]
    with answering(ANSWERS["http"]) as url:
        result = CliRunner().invoke(app, ["up", "--state", str(tmp_path), "--redis-url", url, *ports])
    assert result.exit_code == 3 and isinstance(result.exception, SystemExit), result.exception
    assert "does not answer as a Redis" in result.stderr and len(result.stderr.splitlines()) == 1


def test_services_and_workers_meet_what_is_no_redis_as_one_that_is_away() -> None:
    with answering(ANSWERS["http"]) as url, connect(url, timeout_s=2.0) as client:
        for call in (check_reachable, check_version, lambda c: send_report(c, WorkerReport(worker_id="w"))):
            with pytest.raises(QueueUnavailable, match="does not answer as a Redis"):
                call(client)


@pytest.mark.parametrize("where", ["/99", "no password", "no permission"])
def test_a_redis_that_lets_us_do_nothing_is_unavailable(where: str) -> None:
    with LocalRedis() as server, connect(server.url) as admin:
        any_admin: Any = admin
        any_admin.execute_command("ACL", "SETUSER", "idle", "on", ">pw", "-@all", "+info")
        url = {
            "/99": server.url.removesuffix("/0") + "/99",
            "no password": server.url.replace("//", "//idle:wrong@"),
            "no permission": server.url.replace("//", "//idle:pw@"),
        }[where]
        with pytest.raises(QueueUnavailable, match=r"^--redis-url .*: start it") as refused:
            check_redis(url)
        assert "\n" not in str(refused.value)
        with connect(url) as client, pytest.raises(QueueUnavailable):
            send_report(client, WorkerReport(worker_id="w"))


def test_an_error_of_our_own_commands_stays_one() -> None:
    with pytest.raises(redis.ResponseError), broker_errors("x"):
        raise redis.ResponseError("wrong kind of value")
