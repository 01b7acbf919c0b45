"""Carry out jobs in a pool of processes; every finished job stays in a folder, so that an interrupted run goes on."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.doing import commit
from bench.placement.jobs import BenchmarkJob

PARTS = ("policy", "state")


@dataclass(frozen=True)
class Cache:
    """A folder with one JSON file for each finished job, and `PARTS` of the handover of jobs that others go on from."""

    folder: Path

    def result(self, job: BenchmarkJob) -> dict[str, Any] | None:
        """What `save` wrote for this job, if it did."""
        path = self._path(job, "json")
        return json.loads(path.read_text()) if path.is_file() else None

    def handover(self, job: BenchmarkJob) -> dict[str, bytes]:
        """The files of the handover that the job left, by part."""
        return {part: self._path(job, f"{part}.safetensors").read_bytes() for part in PARTS}

    def save(self, job: BenchmarkJob, result: Mapping[str, Any], handover: Mapping[str, bytes]) -> None:
        """Keep a result; the JSON file comes last, since it says that the job is finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for part, data in handover.items():
            self._path(job, f"{part}.safetensors").write_bytes(data)
        unfinished = self._path(job, "part")
        unfinished.write_text(json.dumps(result, indent=1) + "\n")
        unfinished.replace(self._path(job, "json"))

    def _path(self, job: BenchmarkJob, suffix: str) -> Path:
        return self.folder / f"{job.family}-{job.name.replace(' ', '-')}-{job.key}.{suffix}"


def carry_out(
    jobs: Sequence[BenchmarkJob], cache: Cache, processes: int, finished: Callable[[BenchmarkJob, str], None]
) -> dict[str, str]:
    """Do all jobs, each after the one that it goes on from; `finished(job, error)` is called as they end.

    Returns the errors, job key → text. A job that failed takes those that wait for it along.
    """
    waiting, errors, done = list(jobs), dict[str, str](), set[str]()
    running: dict[Future[str], BenchmarkJob] = {}

    def end(job: BenchmarkJob, error: str) -> None:
        if error:
            errors[job.key] = error
        else:
            done.add(job.key)
        finished(job, error)

    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        while waiting or running:
            for job in list(waiting):
                if cache.result(job):
                    waiting.remove(job)
                    end(job, "")
                elif job.before and job.before.key in errors:
                    waiting.remove(job)
                    end(job, f"{job.before.name} failed")
                elif len(running) < processes and (job.before is None or job.before.key in done):
                    waiting.remove(job)
                    running[pool.submit(_do, job, cache)] = job
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                end(running.pop(future), future.result())
    return errors


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _do(job: BenchmarkJob, cache: Cache) -> str:
    """In a process of the pool: carry out one job and keep its result; what went wrong, or nothing."""
    from bench.placement import methods  # here, because the pool's parent needs no PyTorch

    begun = time.perf_counter()
    before = None
    try:
        if job.before:
            found = cache.result(job.before)
            assert found is not None
            before = methods.Outcome(
                [], found["env_steps"], found["wall_s"], methods.Handover.read(cache.handover(job.before))
            )
        outcome = methods.run(job, before)
    except Exception as error:  # one method's failure must not end the others
        return f"{type(error).__name__}: {error}"
    result = {
        "family": job.family,
        "job": job.name,
        "commit": commit(),
        "entries": [asdict(e) for e in outcome.entries],
        "env_steps": outcome.env_steps,
        "wall_s": outcome.wall_s,
        "took_s": time.perf_counter() - begun,
    }
    cache.save(job, result, outcome.handover.files() if outcome.handover else {})
    return ""
