"""A server that `wandb sync` uploads to: it keeps what arrives, by run, as W&B's own does."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class UploadedRun:
    """A run as it arrived: lines of its history by their position, and what was said of it."""

    config: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines in order."""
        return [self.lines[position] for position in sorted(self.lines)]

    @property
    def values(self) -> dict[str, Any]:
        """The configuration without what W&B adds."""
        return {name: entry["value"] for name, entry in self.config.items() if name != "_wandb"}


@contextmanager
def serving() -> Iterator[tuple[str, dict[str, UploadedRun]]]:
    """Address of a server on loopback, and the runs that it has."""
    runs: dict[str, UploadedRun] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"runs": runs}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", runs
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    runs: dict[str, UploadedRun]

    def do_POST(self) -> None:
        data = self._read()
        if self.path.endswith("/graphql"):
            asked = json.loads(data)
            self._answer({"data": self._data(asked["query"], asked.get("variables") or {})})
            return
        if self.path.endswith("/file_stream"):
            self._take(self.runs[self.path.split("/")[-2]], json.loads(data).get("files") or {})
        self._answer({"exitcode": None, "limits": {}})

    def do_PUT(self) -> None:
        self._read()
        self._answer({})

    do_GET = do_PUT

    def log_message(self, *_: Any) -> None:
        pass

    def _data(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        entity = {"id": "ZQ==", "name": "me"}
        if "upsertBucket" in query:
            run = self.runs.setdefault(given["name"], UploadedRun())
            run.config = json.loads(given.get("config") or "{}") or run.config
            run.about |= {name: value for name, value in given.items() if value}
            project = {"id": "cA==", "name": given.get("project"), "entity": entity}
            return {
                "upsertBucket": {"bucket": self._bucket(given["name"], run) | {"project": project}, "inserted": True}
            }
        if "RunResumeStatus" in query:
            known = self.runs.get(given["name"])
            bucket = known and self._bucket(given["name"], known)
            return {"model": {"id": "cA==", "name": given.get("project"), "entity": entity, "bucket": bucket}}
        if "CreateRunFiles" in query:
            address = f"http://127.0.0.1:{self.server.server_address[1]}/files/"
            files = [{"name": name, "uploadUrl": address + name} for name in given["files"]]
            return {"createRunFiles": {"runID": "aWQ=", "uploadHeaders": [], "files": files}}
        if "viewer" in query.lower():
            return {"viewer": {"id": "dg==", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        return {}

    def _bucket(self, name: str, run: UploadedRun) -> dict[str, Any]:
        return {
            "id": "aWQ=",
            "name": name,
            "displayName": run.about.get("displayName"),
            "description": "",
            "sweepName": None,
            "config": json.dumps(run.config),
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.lines),
            "logLineCount": 0,
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(line) for line in run.history[-1:]]),
            "eventsTail": "[]",
            "tags": run.about.get("tags") or [],
            "wandbConfig": json.dumps({"t": 1}),
        }

    def _take(self, run: UploadedRun, files: dict[str, Any]) -> None:
        for name, part in files.items():
            content = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                run.lines |= {part["offset"] + i: line for i, line in enumerate(content)}
            elif name == "wandb-summary.json":
                run.summary = content[-1]

    def _read(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _answer(self, what: Any) -> None:
        data = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
