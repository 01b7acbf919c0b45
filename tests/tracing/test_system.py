"""One trace over all processes, kept over a SIGKILL; nothing without the variables."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from protos.lwmecps.registry.v1.registry_pb2_grpc import TaskRegistryServiceStub
from services.cli.processes import free_port
from services.common.local_redis import LocalRedis

from .collector import CollectedSpan, CollectorDouble, collecting

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
CITY = "family: mec_city\nenv_id: lwmecps-v3\nnodes: 2\ndeployments: 2\nmax_replicas: 4\nhorizon: 20\n"
EPISODES = 200


class TracedSystem:
    """Registry, worker and learner as processes, each with its log."""

    def __init__(self, folder: Path, stack: ExitStack, collector: CollectorDouble) -> None:
        self._folder, self._stack = folder, stack
        self.redis = stack.enter_context(LocalRedis()).url
        self.registry, self.learner = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._env = os.environ | collector.environment | {"LWMECPS_TRACKING": "jsonl", "OMP_NUM_THREADS": "1"}

    def start(self, name: str, module: str, *arguments: str, **settings: str) -> "subprocess.Popen[bytes]":
        prefix = f"LWMECPS_{name.partition('-')[0].upper()}_"
        env = self._env | {prefix + key: value for key, value in settings.items()}
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        self._stack.callback(lambda: (process.terminate() if process.poll() is None else None, process.wait(30)))
        return process

    def start_registry(self) -> None:
        files = {"DATABASE_URL": f"sqlite:///{self._folder / 'r.db'}", "ARTEFACTS_URL": str(self._folder / "artefacts")}
        self.start("registry", "services.task_registry", PORT=_port(self.registry), LOG_FORMAT="json", **files)

    def start_learner(self, name: str) -> "subprocess.Popen[bytes]":
        settings = {"PORT": _port(self.learner), "REGISTRY": self.registry, "REDIS_URL": self.redis, "SLOTS": "1"}
        settings |= {"LEASE_S": "3", "CHECKPOINT_EVERY_STEPS": "5", "LOG_FORMAT": "json"}
        return self.start(name, "services.learner_service", WORK_DIRECTORY=str(self._folder / "work"), **settings)

    def start_worker(self) -> None:
        arguments = ("--name", "w1", "--redis-url", self.redis, "--parent", str(os.getpid()), "--log-format", "json")
        self.start("worker", "services.env_service.worker", *arguments)

    def lwmecps(self, *words: str) -> Any:
        where = ["--registry", self.registry, "--learner", self.learner]
        command = [sys.executable, "-m", "services.cli.main", *where, *words, "--json"]
        done = subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def log(self, name: str) -> list[dict[str, Any]]:
        lines = (self._folder / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def _system(folder: Path) -> Iterator[tuple[TracedSystem, CollectorDouble]]:
    with collecting() as collector, ExitStack() as stack:
        yield TracedSystem(folder, stack, collector), collector


def test_a_run_is_one_trace_from_the_command_to_the_worker_and_stays_it_when_its_learner_is_killed(
    tmp_path: Path,
) -> None:
    (tmp_path / "city.yaml").write_text(CITY)
    with _system(tmp_path) as (system, collector):
        system.start_registry()
        system.start_worker()
        first = system.start_learner("learner-1")
        for address in (system.registry, system.learner):
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(60)
        options = ["--total-episodes", str(EPISODES), "--episodes-per-batch", "2", "--network", "mlp"]
        run = system.lwmecps("train", "--task", str(tmp_path / "city.yaml"), "--detach", *options)
        collector.wait(lambda: len(collector.named("/UploadCheckpoint", "learner-service")) > 1)
        first.kill()
        first.wait(10)
        before = {span.id for span in collector.named("rollout")}
        system.start_learner("learner-2")
        _wait_for_end(system, collector, run["id"])
        collector.wait(lambda: collector.named("run", "learner-service"))

        _check_tree(collector, run["id"])
        late = [span for span in collector.named("rollout") if span.id not in before]
        assert before and late, "workers worked for both learners"
        assert [c.attributes["token"] for c in collector.named("claim")] == [1, 2]
        assert [s.attributes["end"] for s in collector.named("run", "learner-service")] == ["completed"]
        _check_logs(system, collector)
        assert not [span.name for span in collector.spans if span.failed and span.start_ns > late[0].start_ns]


def _check_tree(collector: CollectorDouble, run_id: str) -> None:
    """client → learner → registry → claims → collections → rollouts: one trace, each under the one before.

    Of the killed learner that is so but for what it had not sent: the collection that it was in, and the last batch.
    """
    (command,) = collector.named("lwmecps train")
    trace = [span for span in collector.spans if span.trace == command.trace]
    by_id = {span.id: span for span in trace}

    def parents(span: CollectedSpan) -> list[str]:
        found = []
        while span.parent:
            if span.parent not in by_id:
                return []
            span = by_id[span.parent]
            found.append(f"{span.service}: {span.name.rpartition('/')[2]}")
        return found

    start = ["lwmecps: StartTraining", "lwmecps: lwmecps train"]
    created = ["learner-service: CreateRun", "learner-service: StartTraining", *start]
    claimed = ["task-registry: CreateRun", *created]
    rollouts = [span for span in trace if span.name == "rollout"]
    assert len(rollouts) >= EPISODES / 2
    assert {(span.service, span.attributes["run_id"]) for span in rollouts} == {("collection-worker", run_id)}
    whole = [span for span in rollouts if parents(span)]
    taken = [span.start_ns for span in collector.named("claim")][1]
    assert len(whole) > EPISODES / 4 and {span.start_ns > taken for span in whole} == {True, False}
    assert all(span in whole for span in rollouts if span.start_ns > taken)
    for span in whole:
        assert parents(span) == ["learner-service: collect", "learner-service: claim", *claimed]
    (registry_start,) = [s for s in trace if s.service == "task-registry" and s.name.endswith("/CreateRun")]
    assert parents(registry_start) == created
    reports = [s for s in trace if s.service == "task-registry" and s.name.endswith("/ReportRun")]
    assert parents(reports[-1]) == ["learner-service: ReportRun", "learner-service: claim", *claimed]
    of_run = [span for name in ("claim", "collect", "rollout", "run") for span in collector.named(name)]
    assert {span.trace for span in of_run} == {command.trace}
    assert not [s.name for s in collector.spans if s.name.endswith(("ClaimRun", "Heartbeat", "Check", "List"))]


def _check_logs(system: TracedSystem, collector: CollectorDouble) -> None:
    known = {span.id: span.trace for span in collector.spans}
    for name in ("learner-1", "learner-2"):
        (line,) = [line for line in system.log(name) if line["event"] == "run started"]
        assert known[line["span_id"]] == line["trace_id"]
        assert "trace_id" not in next(line for line in system.log(name) if line["event"] == "listening")


def _wait_for_end(system: TracedSystem, collector: CollectorDouble, run_id: str) -> None:
    with grpc.insecure_channel(system.registry) as channel:
        stub = TaskRegistryServiceStub(channel)  # type: ignore[no-untyped-call]

        def ended() -> bool:
            state = stub.GetRun(registry_pb2.GetRunRequest(run_id=run_id)).run.state
            assert state != run_pb2.RUN_STATE_FAILED
            return bool(state == run_pb2.RUN_STATE_COMPLETED)

        collector.wait(ended, 90)


def _port(address: str) -> str:
    return address.rpartition(":")[2]
