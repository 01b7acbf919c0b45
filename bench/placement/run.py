"""Carry out jobs in a pool of processes; every finished job stays in a folder, so that an interrupted run goes on."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.placement.jobs import Job

PARTS = ("policy", "state")


@dataclass(frozen=True)
class Cache:
    """A folder with one JSON file for each finished job, and `PARTS` of the artefact of jobs that others go on from."""

    folder: Path

    def result(self, job: Job) -> dict[str, Any] | None:
        """What `save` wrote for this job, if it did."""
        path = self._path(job, "json")
        return json.loads(path.read_text()) if path.is_file() else None

    def artefact(self, job: Job) -> dict[str, bytes]:
        """The files of the artefact that the job left, by part."""
        return {part: self._path(job, f"{part}.safetensors").read_bytes() for part in PARTS}

    def save(self, job: Job, result: Mapping[str, Any], artefact: Mapping[str, bytes]) -> None:
        """Keep a result; the JSON file comes last, since it says that the job is finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for part, data in artefact.items():
            self._path(job, f"{part}.safetensors").write_bytes(data)
        unfinished = self._path(job, "part")
        unfinished.write_text(json.dumps(result, indent=1) + "\n")
        unfinished.replace(self._path(job, "json"))

    def _path(self, job: Job, suffix: str) -> Path:
        return self.folder / f"{job.family}-{job.name.replace(' ', '-')}-{job.key}.{suffix}"


def carry_out(
    jobs: Sequence[Job], cache: Cache, processes: int, finished: Callable[[Job, str], None]
) -> dict[str, str]:
    """Do all jobs, each after the one that it goes on from; `finished(job, error)` is called as they end.

    Returns the errors, job key → text. A job that failed takes those that wait for it along.
    """
    waiting, errors, done = list(jobs), dict[str, str](), set[str]()
    running: dict[Future[str], Job] = {}

    def end(job: Job, error: str) -> None:
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


def _do(job: Job, cache: Cache) -> str:
    """In a process of the pool: carry out one job and keep its result; what went wrong, or nothing."""
    from bench.placement import methods  # here, because the pool's parent needs no PyTorch

    begun = time.perf_counter()
    before = None
    try:
        if job.before:
            found = cache.result(job.before)
            assert found is not None
            before = methods.Outcome(
                [], found["env_steps"], found["wall_s"], methods.Artefact.read(cache.artefact(job.before))
            )
        outcome = methods.run(job, before)
    except Exception as error:  # one method's failure must not end the others
        return f"{type(error).__name__}: {error}"
    result = {
        "family": job.family,
        "job": job.name,
        "entries": [asdict(e) for e in outcome.entries],
        "env_steps": outcome.env_steps,
        "wall_s": outcome.wall_s,
        "took_s": time.perf_counter() - begun,
    }
    cache.save(job, result, outcome.artefact.files() if outcome.artefact else {})
    return ""
