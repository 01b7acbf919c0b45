"""What the page asks for that is no call: summaries of result rows, the check of a task file, a task that is drawn.

The library says all of it; nothing is kept.
"""

import tempfile
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.results import Row
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.statistics import Summary, paired_difference, summarise
from protos.lwmecps.registry.v1 import registry_pb2
from services.common import convert
from services.gateway import json_forms, statuses
from services.gateway.asking import Asking
from services.gateway.beliefs import beliefs
from services.gateway.rest import route

MOST_RUNS = 16
LARGEST_SEED = 10**18 - 1
FILE = "file"


def routes() -> list[Route]:
    """Every endpoint."""
    return [
        route("/page/summary", _summary, "GET"),
        route("/page/tasks", _task, "POST"),
        route("/page/tasks/{task_id}/draw", _draw, "GET"),
        route("/page/tasks/{task_id}/memories/{name:path}", beliefs, "GET"),
    ]


async def _summary(request: Request) -> Response:
    """Means with intervals of the rows of runs, and what the first run's last method earns beside each, paired."""
    runs = request.query_params.getlist("run")
    if not 0 < len(runs) <= MOST_RUNS:
        raise InvalidInput("request", [Violation("run", f"1 to {MOST_RUNS} runs are compared, not {len(runs)}")])
    ask, rows, base = Asking(request), list[Row](), list[Summary]()
    for run in dict.fromkeys(runs):
        found = await ask.pages("ListRunRows", "rows", run_id=run)
        own = [convert.row_from_message(row) for row in found]
        known = {row.method for row in rows}
        rows += [replace(row, method=f"{row.method} ({run})") if row.method in known else row for row in own]
        if run == runs[0]:
            base = summarise(own)[-1:]
    return statuses.as_json({"rows": [_compared(rows, one, base) for one in summarise(rows)] if rows else []})


def _compared(rows: list[Row], one: Summary, base: list[Summary]) -> dict[str, Any]:
    plain = asdict(one).items()
    shown = {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in plain}
    if not base or _key(one) == _key(base[0]):
        return shown
    difference = paired_difference(rows, _key(base[0]), _key(one))
    if not isfinite(difference.mean):
        return shown
    known = isfinite(difference.ci95)
    return shown | {
        "difference": difference.mean,
        "difference_ci95": difference.ci95 if known else None,
        "excludes_zero": known and difference.excludes_zero,
    }


def _key(one: Summary) -> tuple[str, int, int]:
    return one.method, one.inner_steps, one.episode


async def _task(request: Request) -> Response:
    """Check a task file (the body, YAML or JSON), and register what it holds unless `check` is true."""
    items, notes = await run_in_threadpool(_read, await request.body())
    found: dict[str, Any] = {"notes": notes, "items": [_outline(item) for item in items], "tasks": []}
    if request.query_params.get("check") != "true":
        ask, name = Asking(request), request.query_params.get("name", "")
        for item in items:
            created = (await ask("CreateTask", _message(item, name))).task
            found["tasks"].append({"id": created.id, "name": created.name})
    return statuses.as_json(found)


def _read(body: bytes) -> tuple[list[TaskSpec | TaskDistribution], list[str]]:
    """The items of a task file, what was assumed, and what its load can't be served by."""
    # Here, because they load the simulator.
    from lwmecps_core.reading import read_mapping
    from lwmecps_core.sim.demand import demand
    from lwmecps_core.tasks.families import draw
    from lwmecps_core.tasks.files import read_task_data

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("task.json" if body.lstrip()[:1] == b"{" else "task.yaml")
        path.write_bytes(body)
        try:
            data = read_mapping(path)
        except InvalidInput as error:
            wrong = [Violation(v.field, v.reason.replace(str(path), FILE)) for v in error.violations]
            raise InvalidInput("request", wrong) from None
    file = read_task_data(data, "request")
    notes = list(file.notes)
    for item in file.items:
        if isinstance(item, TaskSpec) or item.recorded_users:
            notes += demand(draw(item, 0) if isinstance(item, TaskDistribution) else item).warnings
    return list(file.items), notes


def _outline(item: TaskSpec | TaskDistribution) -> dict[str, Any]:
    if isinstance(item, TaskDistribution):
        return {"kind": "distribution", "name": item.family, "nodes": item.nodes, "deployments": item.deployments}
    sizes = {"nodes": len(item.cluster.nodes), "deployments": len(item.deployments)}
    return {"kind": "task", "name": item.name} | sizes


def _message(item: TaskSpec | TaskDistribution, name: str) -> registry_pb2.CreateTaskRequest:
    if isinstance(item, TaskSpec):
        return registry_pb2.CreateTaskRequest(spec=convert.task_to_message(item))
    return registry_pb2.CreateTaskRequest(distribution=convert.distribution_to_message(item), name=name)


async def _draw(request: Request) -> Response:
    """A registered task, or the one that `seed` draws from a registered distribution, with nested lists."""
    text = request.query_params.get("seed", "0")
    if not text.isdecimal() or len(text) > len(str(LARGEST_SEED)):
        said = f"must be a whole number from 0 to {LARGEST_SEED}, not {text[:40]!r}"
        raise InvalidInput("request", [Violation("seed", said)])
    task = (await Asking(request)("GetTask", task_id=request.path_params["task_id"])).task
    if task.WhichOneof("kind") == "spec":
        return statuses.as_json(json_forms.show(task.spec, lists=True))

    def drawn() -> dict[str, Any]:
        from lwmecps_core.tasks.families import draw

        made = draw(convert.distribution_from_message(task.distribution), int(text))
        return json_forms.show(convert.task_to_message(made), lists=True)

    return statuses.as_json(await run_in_threadpool(drawn))
