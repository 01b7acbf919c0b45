"""The whole system in steady use, and whether its memory, open files and threads stay flat.

An hour of use is `CALLS_PER_HOUR` calls, made as fast as the system answers.
"""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import redis

from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from services.common import convert
from tests.chaos.load_sessions import Twin
from tests.chaos.scenario import CITY, create_task, follow, start_run, weights
from tests.chaos.system import System

CALLS_PER_HOUR = 50 * 3600
"""Fifty calls a second."""
USERS, STEPS, EPOCHS = 8, 20, 2
RUN_EVERY = 16
"""So many users' visits for one run."""
RUN_S = 120.0
FLAT_MIB_PER_HOUR = 8.0
"""How much a service may grow in an hour of use, by a linear fit over the second half."""
FLAT_COUNT = 8
"""How many more open files or threads the last quarter may have than the second one, at their most."""
SAMPLE_S = 0.5


@dataclass(frozen=True)
class Footprint:
    """Resident memory, open files and threads of a process and of those that it started."""

    mib: float
    files: int
    threads: int


def footprint(pid: int) -> Footprint:
    """Sum over the process and its descendants; what ends meanwhile is left out."""
    mib, files, threads = 0.0, 0, 0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess), process.oneshot():
            seen = process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()
            mib, files, threads = mib + seen[0], files + seen[1], threads + seen[2]
    return Footprint(mib, files, threads)


class Soak:
    """Users that come again and again: each opens a session, steps and closes it, and looks around in the registry.

    Every sixteenth visit starts a run and waits for its weights. All sessions of a user show the same, and all runs
    learn the same: anything else is counted as wrong.
    """

    def __init__(self, system: System, calls: int, limit_s: float) -> None:
        self._system, self._calls, self._until = system, calls, time.monotonic() + limit_s
        self._clients = system.clients
        self._task_id = create_task(self._clients)
        self._visits, self._lock = itertools.count(), threading.Lock()
        self._expected_weights: dict[str, bytes] | None = None
        self.made, self.runs, self.wrong = 0, 0, list[str]()

    def go(self) -> list[tuple[int, dict[str, Footprint]]]:
        """Use the system until enough calls were made or time is up; samples of (calls made, footprint by name)."""
        samples, pids = list[tuple[int, dict[str, Footprint]]](), _pids(self._system)
        with ThreadPoolExecutor(USERS) as pool:
            users = [pool.submit(self._use, number) for number in range(USERS)]
            while not all(user.done() for user in users):
                samples.append((self.made, {name: footprint(pid) for name, pid in pids.items()}))
                time.sleep(SAMPLE_S)
            for user in users:
                user.result()
        return samples

    def _use(self, number: int) -> None:
        twin = Twin(self._clients, number)
        opening = twin.expected_opening()
        plan = [(twin.next_action, twin.expected_step()) for _ in range(STEPS)]
        try:
            while self.made < self._calls and time.monotonic() < self._until:
                visit = next(self._visits)
                shown = [twin.open() == opening, *(twin.step(action) == expected for action, expected in plan)]
                twin.close()
                self._note(STEPS + 3, "" if all(shown) else f"visit {visit}: a session showed something else")
                self._look_around(visit)
                if visit % RUN_EVERY == 0:
                    self._run(visit)
        except BaseException:
            self._calls = 0  # the others end too
            raise

    def _look_around(self, visit: int) -> None:
        call = self._clients.registry
        request = registry_pb2.CreateTaskRequest(
            distribution=convert.distribution_to_message(CITY), request_id=f"visit-{visit}"
        )
        task_id = call("CreateTask", request).task.id
        same = call("CreateTask", request).task.id == task_id
        same = same and call("GetTask", registry_pb2.GetTaskRequest(task_id=task_id)).task.id == task_id
        call("ListTasks", registry_pb2.ListTasksRequest(page_size=20))
        call("ListRuns", registry_pb2.ListRunsRequest(page_size=20))
        call("DeleteTask", registry_pb2.DeleteTaskRequest(task_id=task_id))
        self._note(6, "" if same else f"visit {visit}: a task is another one")

    def _run(self, visit: int) -> None:
        run_id = start_run(self._clients, self._task_id, 1, EPOCHS, f"visit-{visit}")
        learnt = weights(self._clients, follow(self._clients, run_id, RUN_S))
        for _ in self._clients.learner.stream("WatchProgress", learner_pb2.WatchProgressRequest(run_id=run_id)):
            pass
        self._clients.learner("GetResults", learner_pb2.GetResultsRequest(run_id=run_id))
        with self._lock:
            self._expected_weights = self._expected_weights or learnt
            self.runs += 1
        self._note(4, "" if learnt == self._expected_weights else f"visit {visit}: a run learnt something else")

    def _note(self, calls: int, wrong: str = "") -> None:
        with self._lock:
            self.made += calls
            if wrong:
                self.wrong.append(wrong)


def soak(system: System, hours: float, limit_s: float, say: Callable[[str], None] = print) -> dict[str, Any]:
    """`hours` of use, but no longer than `limit_s`; what came of it, and whether it was right and flat."""
    began = time.monotonic()
    with redis.Redis.from_url(system.redis.url) as broker:
        use = Soak(system, round(hours * CALLS_PER_HOUR), limit_s)
        samples = use.go()
        keys = int(broker.dbsize())
    growth = judge(samples)
    for name, figures in growth.items():
        say(f"{name:12} {figures}")
    done = use.made / CALLS_PER_HOUR
    return {
        "database": "postgresql" if system.postgres else "sqlite",
        "calls": use.made,
        "hours": round(done, 3),
        "runs": use.runs,
        "redis_keys_left": keys,
        "wall_s": round(time.monotonic() - began, 1),
        "wrong": use.wrong[:10],
        "services": growth,
        "right": not use.wrong and done >= hours,
        "flat": all(figures["flat"] for figures in growth.values()),
    }


def judge(samples: list[tuple[int, dict[str, Footprint]]]) -> dict[str, dict[str, Any]]:
    """By name: memory at the half and at the end, how fast it grows per hour of use, and whether all is flat."""
    last = samples[-1][0]
    half = [sample for sample in samples if sample[0] >= last / 2]
    second, fourth = ([s for s in samples if q * last / 4 <= s[0] <= (q + 1) * last / 4] for q in (1, 3))
    found = {}
    for name in samples[-1][1]:
        hours, mib = [made / CALLS_PER_HOUR for made, _ in half], [seen[name].mib for _, seen in half]
        slope = float(np.polyfit(hours, mib, 1)[0]) if hours[0] < hours[-1] else 0.0
        most = {
            (what, quarter): max((getattr(seen[name], what) for _, seen in part), default=0)
            for what in ("files", "threads")
            for quarter, part in ((2, second), (4, fourth))
        }
        grown = max(most[what, 4] - most[what, 2] for what in ("files", "threads"))
        found[name] = {
            "mib_half": round(mib[0], 1),
            "mib_end": round(mib[-1], 1),
            "mib_per_hour": round(slope, 1),
            "files": most["files", 4],
            "threads": most["threads", 4],
            "flat": slope < FLAT_MIB_PER_HOUR and grown <= FLAT_COUNT,
        }
    return found


def _pids(system: System) -> dict[str, int]:
    processes = {name: service.process for name, service in system.services.items()}
    processes["redis"] = system.redis.process
    return {name: process.pid for name, process in processes.items() if process is not None}
