"""Many runs and tasks in the registry: created, listed by page and claimed from several threads."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.cli.clients import Clients
from services.common import convert
from tests.chaos.latency import Echo, Race
from tests.chaos.scenario import CITY, create_task, meta

T = TypeVar("T")
ROUNDS = 10
LEASE = Duration(seconds=3600)
STATES = run_pb2.RunState


def queue_runs(clients: Clients, echo: Echo, *, runs: int, threads: int) -> dict[str, Any]:
    """Queue `runs` runs (every tenth twice), list them, claim them all, end them all.

    What must hold: one run for each request id; every run listed once; claimed once, the oldest first, and counted.
    """
    spec = run_pb2.RunSpec(task_ids=[create_task(clients)])
    spec.meta_train.CopyFrom(convert.to_message(meta(3), type(spec.meta_train)))
    numbers = [*range(runs), *range(0, runs, 10)]
    random.Random(1).shuffle(numbers)
    creating, claiming, ending = (Race(threads, echo) for _ in range(3))

    def create(number: int) -> str:
        request = registry_pb2.CreateRunRequest(spec=spec, request_id=f"load-{number}")
        return str(clients.registry("CreateRun", request).run.id)

    def claim(number: int) -> tuple[float, float, str, int]:
        began = time.monotonic()
        request = registry_pb2.ClaimRunRequest(learner_id=f"learner-{number % threads}", lease_duration=LEASE)
        answer = clients.registry("ClaimRun", request)
        return began, time.monotonic(), str(answer.run.id), int(answer.lease.token)

    def end(run_id: str) -> None:
        report = registry_pb2.ReportRunRequest(run_id=run_id, token=1, state=STATES.RUN_STATE_COMPLETED)
        clients.registry("ReportRun", report)

    made = in_rounds(creating, [partial(create, number) for number in numbers])
    by_number: dict[int, set[str]] = {}
    for number, run_id in zip(numbers, made, strict=True):
        by_number.setdefault(number, set()).add(run_id)
    pending = _runs(clients, STATES.RUN_STATE_PENDING)
    claims = in_rounds(claiming, [partial(claim, number) for number in range(runs)])
    checks = {
        "one run for each request id": all(len(ids) == 1 for ids in by_number.values()) and len(set(made)) == runs,
        "each listed once": len(pending) == runs and set(pending) == set(made),
        "each claimed once": sorted(run_id for _, _, run_id, _ in claims) == sorted(set(made)),
        "first tokens": {token for *_, token in claims} == {1},
        "oldest first": oldest_first([(began, ended, run_id) for began, ended, run_id, _ in claims], pending[::-1]),
        "none left": not claim(0)[2] and not _runs(clients, STATES.RUN_STATE_PENDING),
        "all running": sorted(_runs(clients, STATES.RUN_STATE_RUNNING)) == sorted(set(made)),
    }
    in_rounds(ending, [partial(end, run_id) for _, _, run_id, _ in claims])
    checks["all completed"] = sorted(_runs(clients, STATES.RUN_STATE_COMPLETED)) == sorted(set(made))
    return {
        "runs": runs,
        "CreateRun": creating.report(),
        "ClaimRun": claiming.report(),
        "ReportRun": ending.report(),
        "broken": [name for name, held in checks.items() if not held],
        "holds": all(checks.values()),
    }


def list_tasks(clients: Clients, echo: Echo, *, tasks: int, threads: int, listers: int) -> dict[str, Any]:
    """Create `tasks` tasks, then list them all by page from `listers` threads while another thread creates more.

    What must hold: every listing has each of them once, in the same order, newest first.
    """
    creating, listing = Race(threads, echo), Race(listers, echo)
    message = convert.distribution_to_message(CITY)

    def create(name: str) -> str:
        request = registry_pb2.CreateTaskRequest(distribution=message, name=name, request_id=name)
        return str(clients.registry("CreateTask", request).task.id)

    def page(token: str) -> Any:
        return clients.registry("ListTasks", registry_pb2.ListTasksRequest(page_token=token))

    before = set(_tasks(clients))
    made = set(in_rounds(creating, [partial(create, f"load-{number}") for number in range(tasks)]))
    stop, more = threading.Event(), list[str]()

    def go_on() -> None:
        while not stop.is_set():
            more.append(create(f"more-{len(more)}"))

    creator = threading.Thread(target=go_on)
    creator.start()
    try:
        listed, tokens = [list[str]() for _ in range(listers)], [""] * listers
        while True:
            pages = listing.round([partial(page, token) for token in tokens])
            for ids, answer in zip(listed, pages, strict=True):
                ids += [task.id for task in answer.tasks]
            tokens = [answer.next_page_token for answer in pages]
            if not all(tokens):
                break
    finally:
        stop.set()
        creator.join(60)
    ours = [[task_id for task_id in ids if task_id in made] for ids in listed]
    again = [task_id for task_id in _tasks(clients) if task_id in made]
    checks = {
        "one task for each request id": len(made) == tasks,
        "each listed once": all(len(ids) == tasks and set(ids) == made for ids in ours),
        "no other twice": all(len(ids) == len(set(ids)) for ids in listed),
        "nothing unknown": all(set(ids) <= made | before | set(more) for ids in listed),
        "one order": all(ids == again for ids in ours),
        "more were created": bool(more),
    }
    return {
        "tasks": tasks,
        "created_meanwhile": len(more),
        "CreateTask": creating.report(),
        "ListTasks": listing.report(),
        "broken": [name for name, held in checks.items() if not held],
        "holds": all(checks.values()),
    }


def oldest_first(claims: Sequence[tuple[float, float, str]], ages: Sequence[str]) -> bool:
    """Whether no claim (began, ended, run) got an older run than one that had ended before it began."""
    age = {run_id: number for number, run_id in enumerate(ages)}
    return not any(
        ended < began and age.get(earlier, -1) > age.get(later, -1)
        for _, ended, earlier in claims
        for began, _, later in claims
    )


def in_rounds(race: Race, calls: Sequence[Callable[[], T]]) -> list[T]:
    """All answers, with echoes in between."""
    size = -(-len(calls) // ROUNDS)
    return [answer for start in range(0, len(calls), size) for answer in race.round(calls[start : start + size])]


def _runs(clients: Clients, state: int) -> list[str]:
    runs = clients.registry.pages("ListRuns", registry_pb2.ListRunsRequest(state=state), "runs")
    return [str(run.id) for run in runs]


def _tasks(clients: Clients) -> list[str]:
    return [str(task.id) for task in clients.registry.pages("ListTasks", registry_pb2.ListTasksRequest(), "tasks")]
