"""The endpoints that users of lwmecps-gym know, over the calls of today: a task of theirs is a run of ours.

Creating one registers its tasks and a run that is PAUSED; starting it resumes the run. Its id is the run's. Nothing is
kept here. `docs/from-lwmecps-gym.md` maps one to the other.
"""

from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lwmecps_core.errors import InvalidInput, NotFound, Violation, WrongState
from protos.lwmecps.registry.v1 import run_pb2
from services.gateway import bodies, json_forms, shown, statuses
from services.gateway.asking import Asking
from services.gateway.rest import Endpoint, route
from services.gateway.streams import unless_gone

TAG = "lwmecps-gym"
PATHS = {
    "/meta-learning/meta-tasks": "meta_train",
    "/api/training/meta-tasks": "meta_train",
    "/api/training/transfer-tasks": "transfer",
    "/api/training/tasks": "train",
}
"""Where its tasks are → the kind of run that they are."""
STARTS = {"train": "StartTraining", "meta_train": "StartMetaTraining", "transfer": "StartTransfer"}
CHANGES = {"start": "ResumeRun", "pause": "PauseRun", "resume": "ResumeRun", "stop": "CancelRun"}
ENDED = (run_pb2.RUN_STATE_COMPLETED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED)
MOST_LISTED, LISTED = 1000, 10


def routes() -> list[Route]:
    """Every endpoint."""
    return [route(path, endpoint, verb) for path, verb, endpoint, _, _ in _endpoints()]


def described() -> dict[str, Any]:
    """The endpoints as the OpenAPI document has them."""
    found: dict[str, Any] = {}
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    for path, verb, _, summary, has_body in _endpoints():
        operation: dict[str, Any] = {
            "operationId": f"{verb.lower()}{path.replace('{id}', 'id').replace('/', '_').replace('-', '_')}",
            "tags": [TAG],
            "summary": summary,
            "responses": {
                "200": {"description": "As lwmecps-gym answered.", "content": {"application/json": {"schema": {}}}},
                "default": {"description": "What was wrong.", **error},
            },
        }
        if "{id}" in path:
            operation["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
        if has_body:
            schema = {"type": "object", "additionalProperties": True}
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        found.setdefault(path, {})[verb.lower()] = operation
    return found


def _endpoints() -> list[tuple[str, str, Endpoint, str, bool]]:
    """Path, verb, endpoint, what it does, and whether it takes a body."""
    found: list[tuple[str, str, Endpoint, str, bool]] = []
    for base, kind in PATHS.items():
        one = f"{base}/{{id}}"
        found += [
            (base, "POST", partial(_create, kind=kind), "Create a task; it waits until it is started.", True),
            (base, "GET", partial(_list, kind=kind), "List tasks, newest first (skip, limit).", False),
            (one, "GET", partial(_get, kind=kind), "A task: state, progress in per cent, error_message.", False),
            (f"{one}/progress", "GET", partial(_progress, kind=kind), "A task and its metrics so far.", False),
            (f"{one}/results", "GET", partial(_results, kind=kind), "The metrics of every step.", False),
        ]
        for word in CHANGES:
            found.append(
                (f"{one}/{word}", "POST", partial(_change, kind=kind, word=word), f"{word.title()} it.", False)
            )
        if kind == "meta_train":
            found.append((f"{one}/adapt", "POST", _adapt, "Adapt its policy to a task, and wait for it.", True))
    return found


async def _create(request: Request, kind: str) -> Response:
    data, ask = json_forms.parse(await request.body()), Asking(request)
    asked = await run_in_threadpool(bodies.read_request, data, kind)
    if kind == "transfer":
        asked.start.policy_id = await _source(ask, data)
        asked.start.task_ids.extend(await _target(ask, data, bool(asked.tasks)))
    run = await _started(ask, asked, STARTS[kind], paused=True)
    return statuses.as_json(shown.task(run) | {"notes": list(asked.notes)})


async def _started(ask: Asking, asked: bodies.Asked, name: str, paused: bool) -> run_pb2.Run:
    for one in asked.tasks:
        asked.start.task_ids.append((await ask("CreateTask", one)).task.id)
    asked.start.paused = paused
    run: run_pb2.Run = (await ask(name, asked.start)).run
    return run


async def _source(ask: Asking, data: dict[str, Any]) -> str:
    """The policy of the task that a transfer comes from; an id of a policy does as well."""
    source = _text(data, "source_task_id")
    run = await _unless_unknown(ask("GetRun", run_id=source))
    if run is None:
        policy = await _unless_unknown(ask("GetPolicy", policy_id=source))
        if policy is None:
            raise NotFound("source_task_id", source)
        return source
    if not run.run.result_policy_id:
        raise WrongState(f"source_task_id: {source} has no policy yet: start it, and wait until it is completed")
    return str(run.run.result_policy_id)


async def _target(ask: Asking, data: dict[str, Any], has_own: bool) -> list[str]:
    """The tasks that a transfer goes to: those of another run, or a registered one."""
    if has_own and "target_task_id" not in data:
        return []
    target = _text(data, "target_task_id")
    run = await _unless_unknown(ask("GetRun", run_id=target))
    if run is not None:
        return list(run.run.spec.task_ids)
    if await _unless_unknown(ask("GetTask", task_id=target, view=1)) is None:
        raise NotFound("target_task_id", target)
    return [target]


async def _unless_unknown(call: Any) -> Any:
    """The answer of a call, None where what it asks for is not there."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise InvalidInput("request", [Violation(key, "is required: the id of a task")])
    return value


async def _list(request: Request, kind: str) -> Response:
    skip, limit = _number(request, "skip", 0), _number(request, "limit", LISTED)
    ask, found, token = Asking(request), list[run_pb2.Run](), ""
    while len(found) < skip + limit:
        page = await ask("ListRuns", kind=shown.KINDS[kind], page_size=MOST_LISTED, page_token=token)
        found.extend(page.runs)
        token = page.next_page_token
        if not token:
            break
    return statuses.as_json([shown.task(run) for run in found[skip : skip + limit]])


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > 6 or int(text) > 10 * MOST_LISTED:
        raise InvalidInput("request", [Violation(name, f"must be a number from 0 to {10 * MOST_LISTED}, not {text!r}")])
    return int(text)


async def _get(request: Request, kind: str) -> Response:
    return statuses.as_json(shown.task(await Asking(request).run(request.path_params["id"], kind)))


async def _progress(request: Request, kind: str) -> Response:
    ask, run_id = Asking(request), request.path_params["id"]
    run = await ask.run(run_id, kind)
    return statuses.as_json(shown.progress(run, await ask.metrics(run_id)))


async def _results(request: Request, kind: str) -> Response:
    ask, run_id = Asking(request), request.path_params["id"]
    run = await ask.run(run_id, kind)
    return statuses.as_json(shown.results(run, await ask.metrics(run_id)))


async def _change(request: Request, kind: str, word: str) -> Response:
    ask, run_id = Asking(request), request.path_params["id"]
    await ask.run(run_id, kind)
    return statuses.as_json(shown.task((await ask(CHANGES[word], run_id=run_id)).run))


async def _adapt(request: Request) -> Response:
    data, ask, run_id = json_forms.parse(await request.body()), Asking(request), request.path_params["id"]
    made_by = await ask.run(run_id, "meta_train")
    if not made_by.result_policy_id:
        raise WrongState(f"{run_id} has no policy yet: start it, and wait until it is completed")
    asked = await run_in_threadpool(bodies.read_request, data, "adapt")
    asked.start.policy_id = made_by.result_policy_id
    run = await _started(ask, asked, "StartAdaptation", paused=False)
    run = await unless_gone(request, ask.ended(run.id))
    if run.state != run_pb2.RUN_STATE_COMPLETED:
        raise WrongState(f"adaptation {run.id} {shown.state(run)}: {run.error or 'no reason given'}")
    rows = (await ask("ListRunRows", run_id=run.id, page_size=1000)).rows
    return statuses.as_json(
        {
            "task_id": run_id,
            "adaptation_task_id": run.id,
            "adaptation_metrics": shown.numbers(run.latest_metrics),
            "steps": [MessageToDict(row, preserving_proto_field_name=True) for row in rows],
            "message": "Successfully adapted to new task",
            "notes": list(asked.notes),
        }
    )
