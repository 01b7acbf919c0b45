"""Requests to an API server that is busy, refuses, or has forgotten: a server that answers what the test says."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from lwmecps_core.cluster.kubernetes_api import Api
from lwmecps_core.cluster.kubernetes_watch import Watched
from lwmecps_core.errors import AccessDenied, ClusterUnavailable, Conflict, NotFound

DEPLOYMENT = "/apis/apps/v1/namespaces/city/deployments/web"
Answer = tuple[int, dict[str, str], str]


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, text = self.server.answer(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_PATCH = _answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[[Callable[[str], Answer]], Api]]:
    """`serving(answer)`: a client of a server that answers a path with (status, headers, text)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    entry = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **entry}))

    def api(answer: Callable[[str], Answer]) -> Api:
        server.answer = answer  # type: ignore[attr-defined]
        return Api(config)

    yield api
    server.shutdown()
    server.server_close()


def _in_turn(*answers: Answer) -> Callable[[str], Answer]:
    rest = iter(answers)
    return lambda path: next(rest)


OK: Answer = (200, {}, '{"metadata": {"generation": 2}}')


def _refusal(status: int, message: str = "no", **headers: str) -> Answer:
    return status, headers, json.dumps({"message": message})


def test_a_conflict_and_a_server_that_is_away_for_a_moment_are_tried_again(serving: Any) -> None:
    api = serving(_in_turn(_refusal(409), _refusal(503), OK))
    assert api.persist(5.0, "PATCH", DEPLOYMENT, body={})["metadata"]["generation"] == 2


def test_a_busy_server_is_left_alone_as_long_as_it_asks(serving: Any) -> None:
    api = serving(_in_turn(_refusal(429, **{"Retry-After": "1"}), OK))
    began = time.monotonic()
    api.persist(5.0, "PATCH", DEPLOYMENT, body={})
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (403, AccessDenied, "does not let us patch deployments web in namespace city: no"),
        (401, AccessDenied, "does not let us patch deployments web in namespace city: no"),
        (404, NotFound, "deployments in namespace city not found: web"),
        (409, Conflict, "could not patch deployments web in namespace city: no"),
        (422, ClusterUnavailable, "could not patch deployments web in namespace city"),
        (503, ClusterUnavailable, "could not patch deployments web in namespace city"),
    ],
)
def test_an_answer_that_stays_so_is_an_error_with_verb_and_resource(
    serving: Any, status: int, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        serving(lambda path: _refusal(status)).persist(0.2, "PATCH", DEPLOYMENT, body={})


def test_a_watch_goes_on_where_it_broke_off_and_lists_again_only_after_410(serving: Any) -> None:
    asked: list[str] = []

    def item(name: str, version: int) -> dict[str, Any]:
        return {"metadata": {"name": name, "resourceVersion": str(version)}}

    def answer(path: str) -> Answer:
        asked.append("watch " + path.split("resourceVersion=")[1].split("&")[0] if "watch=1" in path else "list")
        if "watch=1" not in path:
            first = asked.count("list") == 1
            names = ["a"] if first else ["b", "c"]
            listing = {"metadata": {"resourceVersion": "5" if first else "9"}, "items": [item(n, 1) for n in names]}
            return 200, {}, json.dumps(listing)
        if "resourceVersion=5" in path:
            return 200, {}, json.dumps({"type": "ADDED", "object": item("b", 7)}) + "\n"
        if "resourceVersion=7" in path:
            return 200, {}, json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}}) + "\n"
        return 200, {}, ""

    changed = threading.Condition()
    watched = Watched(serving(answer), "/api/v1/nodes", lambda raw: raw["metadata"]["name"], changed)
    watched.start()
    with changed:
        assert changed.wait_for(lambda: set(watched._items) == {"b", "c"}, 10.0)
    watched.stop()
    assert asked[:4] == ["list", "watch 5", "watch 7", "list"]


def test_a_server_that_stays_away_is_noticed_while_the_last_state_stays(serving: Any) -> None:
    listing = json.dumps({"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "a"}}]})
    away = threading.Event()

    def answer(path: str) -> Answer:
        return _refusal(503) if away.is_set() or "watch=1" in path else (200, {}, listing)

    changed = threading.Condition()
    watched = Watched(serving(answer), "/api/v1/nodes", lambda raw: raw["metadata"]["name"], changed)
    watched.start()
    with changed:
        assert changed.wait_for(lambda: watched.items() == {"a": "a"}, 10.0)
    away.set()
    time.sleep(0.5)
    watched.check(10.0)
    with pytest.raises(ClusterUnavailable, match=r"did not answer for 0\.1 s: could not list nodes"):
        watched.check(0.1)
    assert watched.items() == {"a": "a"}
    watched.stop()
