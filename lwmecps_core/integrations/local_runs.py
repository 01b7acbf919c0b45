"""Runs in this process, for searches without services: what each made is kept in a folder."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lwmecps_core import policy as policy_file
from lwmecps_core.config import dump
from lwmecps_core.errors import InvalidInput, NotFound, Violation
from lwmecps_core.integrations.runs import COMPLETED, RunNews, RunRequest, settings_of
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.training.sources import resolve_source
from lwmecps_core.training.work import LoopWork, steps


@dataclass(frozen=True)
class LocalRuns:
    """`Runs` over simulated clusters, each of which is over when `start` returns.

    `tasks` is what requests may name. What a run told and its policy lie in `folder` under its id, which is its
    `request_id`, or a digest of the request without one: the same again is read from there.
    """

    tasks: Mapping[str, TaskSpec | TaskDistribution]
    folder: Path

    def start(self, asked: RunRequest) -> str:
        """See `Runs.start`; whatever a loop raises is the run's failure."""
        run_id = asked.request_id or hashlib.sha256(json.dumps(dump(asked), sort_keys=True).encode()).hexdigest()[:16]
        if not self._file(run_id, "json").is_file():
            work = self._work(asked)
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                told = self._carried_out(run_id, work)
            except Exception as error:
                told = {"state": "failed", "error": f"{type(error).__name__}: {error}"}
            self._keep(run_id, "json", json.dumps(told).encode())
        return run_id

    def follow(self, run_id: str, after_step: int = -1) -> Iterator[RunNews]:
        """See `Runs.follow`."""
        if not self._file(run_id, "json").is_file():
            raise NotFound("run", run_id)
        told = json.loads(self._file(run_id, "json").read_text())
        metrics = {int(step): found for step, found in told.pop("metrics", {}).items() if int(step) > after_step}
        yield RunNews(run_id, metrics=metrics, **told)

    def pause(self, run_id: str) -> None:
        """See `Runs.pause`: it has ended."""

    def resume(self, run_id: str) -> None:
        """See `Runs.resume`: it has ended."""

    def cancel(self, run_id: str) -> None:
        """See `Runs.cancel`: it has ended."""

    def policy(self, policy_id: str) -> PolicyData:
        """A policy that a run made; raises `NotFound`."""
        file = self._file(policy_id, "safetensors")
        if not file.is_file():
            raise NotFound("policy", policy_id)
        return policy_file.from_bytes(file.read_bytes(), str(file))

    def _work(self, asked: RunRequest) -> LoopWork:
        settings, algorithm = settings_of(asked)
        if unknown := [task for task in asked.tasks if task not in self.tasks]:
            raise InvalidInput("run", [Violation("tasks", f"{unknown[0]!r} is none of {', '.join(self.tasks)}")])
        items = [self.tasks[task] for task in asked.tasks]
        source = resolve_source(asked.kind, items, asked.num_tasks, asked.task_seed)
        given = self.policy(asked.policy) if asked.policy else None
        return LoopWork(settings, source, algorithm, given, seed=asked.seed)

    def _carried_out(self, run_id: str, work: LoopWork) -> dict[str, Any]:
        metrics, last = {}, None
        for last in steps(work, LocalCollector()):
            metrics[last.step] = last.metrics
        assert last is not None  # a loop has at least one step
        learnt = last.policy if last.policy is not work.policy else None
        if learnt is not None:
            self._keep(run_id, "safetensors", policy_file.to_bytes(learnt))
        ended = {"state": COMPLETED, "step": last.step, "total_steps": last.total, "metrics": metrics}
        return ended | {"policy_id": run_id if learnt is not None else ""}

    def _file(self, run_id: str, ending: str) -> Path:
        return self.folder / f"{run_id}.{ending}"

    def _keep(self, run_id: str, ending: str, content: bytes) -> None:
        unfinished = self._file(run_id, "part")
        unfinished.write_bytes(content)
        unfinished.replace(self._file(run_id, ending))
