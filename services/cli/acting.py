"""`lwmecps act`: placements chosen by a stored policy."""

import json
import signal
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.config import config, parse
from lwmecps_core.context.kept import terms_of
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.reading import read_mapping
from lwmecps_core.rollout.actor import Actor, AnyArray, Memory
from lwmecps_core.rollout.play import Seeds, play
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.run_config import SIMULATED, Backend
from lwmecps_core.specs import EnvSpec, TaskSpec
from protos.lwmecps.learner.v1 import learner_pb2
from services.cli import render
from services.cli.clients import Clients
from services.cli.json_option import Json
from services.cli.memory import Keeper, Unforgetting, keeper_of
from services.cli.places import WHERE
from services.cli.tasks import drawn
from services.common import convert
from services.common.sessions import SessionEnv

app = typer.Typer()
SHOWN_INFO = ("users", "replicas", "latency_ms")
STEPS = 10
"""Control intervals to act where none are given."""
LONGEST = 100_000
"""Control intervals of an episode that is watched: the most that a task may have."""
Line = dict[str, Any]
"""What is shown of a control interval."""
Lines = Generator[Line, None, None]


@config
class Observations:
    """What `--observation` reads: `observation` `[B][O]` and, where actions are masked, `mask` `[B][M]`."""

    observation: tuple[tuple[float, ...], ...]
    mask: tuple[tuple[bool, ...], ...] = ()


@app.command()
def act(
    ctx: typer.Context,
    policy_id: str,
    observation: Annotated[
        Path | None, typer.Option(help="JSON or YAML with `observation`: [B][O], and perhaps `mask`: [B][M].")
    ] = None,
    task: Annotated[str, typer.Option(help="Id of a task, or a task file, to act on in a session.")] = "",
    task_seed: Annotated[int, typer.Option(help="Which task of a distribution.", min=0)] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Control intervals to act on the task; 10 where none are given.", min=1)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on acting until ctrl-C, and show every interval.")] = False,
    backend: Annotated[
        Literal[convert.BACKENDS],  # type: ignore[valid-type]
        typer.Option(help="Where the task's cluster is: in the simulator, or a real one."),
    ] = SIMULATED,
    memory: Annotated[
        str | None,
        typer.Option(help=f"Keep what the policy remembers of the task's cluster, and go on with it: {WHERE}"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Choose placements with a stored policy: for given observations, or step by step on a task."""
    if (observation is None) == (not task):
        raise InvalidInput("options", [Violation(".", "give either --observation or --task")])
    if memory is not None and not task:
        raise InvalidInput("options", [Violation("memory", "is of a --task")])
    if watch and steps is not None:
        raise InvalidInput("options", [Violation("steps", "--watch goes on until ctrl-C")])
    clients: Clients = ctx.obj
    if observation is not None:
        seen = parse(Observations, read_mapping(observation), str(observation))
        request = learner_pb2.ActRequest(
            policy_id=policy_id, observation=tensor_to_proto(np.asarray(seen.observation, np.float32))
        )
        if seen.mask:
            request.mask.CopyFrom(tensor_to_proto(np.asarray(seen.mask, np.bool_)))
        render.print_json({"action": tensor_from_proto(clients.learner("Act", request).action).tolist()})
        return
    spec = drawn(clients, task, task_seed)
    kept = keeper_of(clients, memory, task, spec, policy_id) if memory is not None else None
    lines = _drive(clients, policy_id, spec, backend, None if watch else steps or STEPS, kept)
    if watch:
        _show(lines, as_json)
    elif as_json:
        render.print_json(list(lines))
    else:
        shown = list(lines)
        render.console.print(render.table(f"policy {policy_id}", list(shown[0]), map(_cells, shown)))


def _show(lines: Lines, as_json: bool) -> None:
    """Every line as it comes, until the episode or the user ends it: JSON lines, or names and values."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the session and keeps what is remembered, too
    with closing(lines), suppress(KeyboardInterrupt):
        for line in lines:
            text = " ".join(f"{name}={value}" for name, value in zip(line, _cells(line), strict=True))
            print(json.dumps(line) if as_json else text, flush=True)


def _cells(line: Line) -> list[str]:
    return [str(v) if isinstance(v, list | int) else _number(v) for v in line.values()]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class RemotePolicy:
    """A stored policy as an actor: the learner-service chooses, and what the policy remembers travels along."""

    clients: Clients
    policy_id: str
    spec: EnvSpec
    """The environment that is acted in."""
    noise_size: int = 0

    def begin(self, seeds: Seeds) -> Memory:
        """Nothing is known yet."""
        return {}

    def act(self, memory: Memory, seen: Seen[AnyArray], noise: AnyArray | None) -> Acted[AnyArray]:
        """The policy's best choice."""
        request = learner_pb2.ActRequest(
            policy_id=self.policy_id,
            observation=tensor_to_proto(seen.obs),
            mask=tensor_to_proto(seen.mask) if seen.mask.size else None,
            env_spec=convert.env_spec_to_message(self.spec),
            memory={name: tensor_to_proto(x) for name, x in memory.items()},
            reward_terms=tensor_to_proto(seen.reward_terms),
            previous_action=tensor_to_proto(seen.action),
            first=tensor_to_proto(seen.first),
        )
        answer = self.clients.learner("Act", request)
        kept = {name: tensor_from_proto(x) for name, x in answer.memory.items()}
        return Acted(tensor_from_proto(answer.action), {}, kept)


def _drive(
    clients: Clients, policy_id: str, task: TaskSpec, backend: Backend, steps: int | None, keeper: Keeper | None = None
) -> Lines:
    """Step one environment of the env-service with the policy; one entry per control interval.

    Without a number of `steps` the episode is as long as can be: another one would bring the initial replicas back.
    """
    env = SessionEnv(clients.env, task if steps else replace(task, horizon=LONGEST), backend)
    actor: Actor = RemotePolicy(clients, policy_id, env_spec(task))
    actor, seeds = Unforgetting(actor, keeper) if keeper else actor, np.zeros(1, np.uint64)
    try:
        frame, noise = env.reset(None), repeat(None, steps or LONGEST)
        intervals = play(env, actor, actor.begin(seeds), frame, noise, new_seeds=lambda: seeds)
        for step, now in enumerate(intervals, 1):
            shown = {name: float(now.info[name][0]) for name in SHOWN_INFO}
            yield {"step": step, "action": now.acted.action[0].tolist(), **shown, "reward": float(now.reward[0])}
        if keeper:  # the last interval is remembered, too
            terms = np.where(now.valid[:, None], terms_of(now.info), 0)
            actor.act(now.acted.memory, Seen(now.obs, now.mask, terms, now.acted.action, ~now.valid), None)
    finally:
        try:
            if keeper:
                keeper.close()
        finally:
            env.close()
