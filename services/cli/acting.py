"""`lwmecps act`: placements chosen by a stored policy."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from lwmecps_core.batch import Array
from lwmecps_core.config import config, parse
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.task.v1 import task_pb2
from services.cli import render
from services.cli.clients import Clients
from services.cli.options import read_yaml
from services.cli.tasks import Json, fetch
from services.common import convert

app = typer.Typer()
SHOWN_INFO = ("users", "replicas", "latency_ms")
SESSION_S = 120.0
"""Deadline of calls to a session: the first one after an installation compiles the simulator, and a real cluster takes
its time."""
LONGEST = 100_000
"""Control intervals of an episode that is watched: the most that a task may have."""
_BACKENDS = {"simulated": env_pb2.BACKEND_SIMULATED, "kubernetes": env_pb2.BACKEND_KUBERNETES}
Line = dict[str, Any]
"""What is shown of a control interval."""


@config
class Observations:
    """What `--observation` reads: `observation` `[B][O]` and, where actions are masked, `mask` `[B][M]`."""

    observation: tuple[tuple[float, ...], ...]
    mask: tuple[tuple[bool, ...], ...] = ()


@app.command()
def act(
    context: typer.Context,
    policy_id: str,
    observation: Annotated[
        Path | None, typer.Option(help="JSON or YAML with `observation`: [B][O], and perhaps `mask`: [B][M].")
    ] = None,
    task: Annotated[str, typer.Option(help="Id of a task, or a task file, to act on in a session.")] = "",
    task_seed: Annotated[int, typer.Option(help="Which task of a distribution.")] = 0,
    steps: Annotated[int, typer.Option(help="Control intervals to act on the task.", min=1)] = 10,
    watch: Annotated[bool, typer.Option("--watch", help="Go on acting until ctrl-C, and show every interval.")] = False,
    backend: Annotated[
        Literal["simulated", "kubernetes"],
        typer.Option(help="Where the task's cluster is: in the simulator, or a real one."),
    ] = "simulated",
    as_json: Json = False,
) -> None:
    """Choose placements with a stored policy: for given observations, or step by step on a task."""
    if (observation is None) == (not task):
        raise InvalidInput("options", [Violation(".", "give either --observation or --task")])
    clients: Clients = context.obj
    if observation is not None:
        seen = parse(Observations, read_yaml(observation), str(observation))
        mask = np.asarray(seen.mask, np.bool_) if seen.mask else None
        action = _act(clients, policy_id, np.asarray(seen.observation, np.float32), mask)
        render.print_json({"action": action.tolist()})
        return
    spec = _drawn(clients, task, task_seed)
    lines = _drive(clients, policy_id, spec, _BACKENDS[backend], None if watch else steps)
    if watch:
        _show(lines, as_json)
    elif as_json:
        render.print_json(list(lines))
    else:
        shown = list(lines)
        render.console.print(render.table(f"policy {policy_id}", list(shown[0]), map(_cells, shown)))


def _show(lines: Iterator[Line], as_json: bool) -> None:
    """Every line as it comes, until the episode or the user ends it: JSON lines, or names and values."""
    with suppress(KeyboardInterrupt):
        for line in lines:
            text = " ".join(f"{name}={value}" for name, value in zip(line, _cells(line), strict=True))
            print(json.dumps(line) if as_json else text, flush=True)


def _cells(line: Line) -> list[str]:
    return [str(v) if isinstance(v, list | int) else f"{v:.3g}" for v in line.values()]


def _act(
    clients: Clients, policy_id: str, observation: Array, mask: Array | None, env_spec: task_pb2.EnvSpec | None = None
) -> Array:
    request = learner_pb2.ActRequest(policy_id=policy_id, observation=tensor_to_proto(observation), env_spec=env_spec)
    if mask is not None:
        request.mask.CopyFrom(tensor_to_proto(mask))
    action: Array = tensor_from_proto(clients.learner("Act", request).action)
    return action


def _drive(
    clients: Clients, policy_id: str, task: TaskSpec, backend: env_pb2.Backend, steps: int | None
) -> Iterator[Line]:
    """Step one environment of the env-service with the policy; one entry per control interval.

    Without a number of `steps` the episode is as long as can be: another one would bring the initial replicas back.
    """
    run = task if steps else replace(task, horizon=LONGEST)
    request = env_pb2.CreateSessionRequest(task=convert.task_to_message(run), backend=backend)
    session, call_s = clients.env("CreateSession", request, SESSION_S), SESSION_S + task.interval_s
    names, spec = list(session.info_keys), convert.env_spec_to_message(env_spec(task))
    try:
        reset = env_pb2.ResetSessionRequest(session_id=session.session_id)
        seen = clients.env("ResetSession", reset, call_s).transition
        for step in range(1, (steps or LONGEST) + 1):
            mask = tensor_from_proto(seen.mask)
            observation = tensor_from_proto(seen.observation)
            action = _act(clients, policy_id, observation, mask if mask.size else None, spec)
            move = env_pb2.StepSessionRequest(
                session_id=session.session_id, action=tensor_to_proto(action), with_info=True
            )
            seen = clients.env("StepSession", move, call_s).transition
            info = tensor_from_proto(seen.info)[:, 0]
            shown = {name: float(info[names.index(name)]) for name in SHOWN_INFO}
            reward = float(tensor_from_proto(seen.reward)[0])
            yield {"step": step, "action": action[0].tolist(), **shown, "reward": reward}
    finally:
        clients.env("CloseSession", env_pb2.CloseSessionRequest(session_id=session.session_id), call_s)


def _drawn(clients: Clients, task: str, seed: int) -> TaskSpec:
    value = fetch(clients, task)
    return draw(value, seed) if isinstance(value, TaskDistribution) else value
