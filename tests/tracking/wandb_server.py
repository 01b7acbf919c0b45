"""A server that W&B's client uploads to: it keeps what arrives, by run, as W&B's own does, and hands out a sweep."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SWEEP = "sweep-1"


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


@dataclass(frozen=True)
class SweepTrial:
    """A run that the sweep's agent is asked for: its settings, and whether it is stopped once it has told of a step."""

    run_id: str
    settings: dict[str, Any]
    stopped: bool = False


@dataclass
class SweepServed:
    """The only sweep of a server: its file, and the trials that its agent is given one after the other."""

    trials: list[SweepTrial] = field(default_factory=list)
    config: str = ""
    given: int = 0

    def commands(self, running: list[str], runs: dict[str, UploadedRun]) -> list[dict[str, Any]]:
        """The answer to an agent's heartbeat."""
        early = [trial.run_id for trial in self.trials[: self.given] if trial.stopped and runs[trial.run_id].lines]
        if running:
            return [{"type": "stop", "run_id": run} for run in running if run in early]
        if self.given == len(self.trials):
            return [{"type": "exit"}]
        trial, self.given = self.trials[self.given], self.given + 1
        args = {name: {"value": value} for name, value in trial.settings.items()}
        runs[trial.run_id] = UploadedRun(config=args)  # W&B has it before it is begun
        return [{"type": "run", "run_id": trial.run_id, "program": "lwmecps", "args": args}]


@contextmanager
def serving(*trials: SweepTrial) -> Iterator[tuple[str, dict[str, UploadedRun]]]:
    """Address of a server on loopback, and the runs that it has; its sweep, once it is made, asks for `trials`."""
    runs: dict[str, UploadedRun] = {}
    state = {"runs": runs, "sweep": SweepServed(list(trials))}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), state))
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
    sweep: SweepServed

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
        if "UpsertSweep" in query:
            self.sweep.config = given["config"]
            project = {"id": "cA==", "name": given["projectName"], "entity": entity}
            return {"upsertSweep": {"sweep": {"name": SWEEP, "project": project}, "configValidationWarnings": []}}
        if "SweepWithRuns" in query:
            return {"project": {"sweep": {"id": "cw==", "config": self.sweep.config, "runs": {"edges": []}}}}
        if "createAgent" in query:
            return {"createAgent": {"agent": {"id": "YQ=="}}}
        if "agentHeartbeat" in query:
            commands = self.sweep.commands(list(json.loads(given["runState"])), self.runs)
            return {"agentHeartbeat": {"agent": {"id": "YQ=="}, "commands": json.dumps(commands)}}
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
