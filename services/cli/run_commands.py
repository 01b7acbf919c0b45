"""`lwmecps train | meta-train | transfer | continual | adapt | evaluate`: settings, then a run."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from lwmecps_core.config import config, parse
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.errors import InvalidInput, LwmecpsError, Violation
from lwmecps_core.former import FORMER_NAMES
from lwmecps_core.kinds import KINDS
from lwmecps_core.reading import read_mapping
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.run_config import (
    META_LEARNERS,
    RECORDED,
    WARMUP_ONLY,
    AdaptConfig,
    AlgorithmConfig,
    EvaluateConfig,
    LearntContextName,
    MetaConfig,
    TrainConfig,
    TransferConfig,
)
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.files import TaskFile, read_task_file
from lwmecps_core.tasks.predecessor import DRAWN, is_body
from protos.lwmecps.learner.v1 import learner_pb2 as pb
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.cli import profiles, render
from services.cli.clients import Clients, start
from services.cli.contexts import LIKE, policy_of_nearest
from services.cli.following import follow, pausing_when_stopped, report
from services.cli.idle import refuse_calibration, refuse_idle, refuse_warmup_only
from services.cli.json_option import Json
from services.cli.loads import checked, tell_notes
from services.cli.options import Given, Section, by_known_names, with_options
from services.cli.tasks import register, resolve
from services.common import convert
from services.common.run_labels import of_sweep

app = typer.Typer()
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


@config
class RunOptions:
    """Options of every command that starts a run."""

    task: tuple[str, ...] = ()
    """Id of a registered task or distribution, or a task file; may be repeated."""
    num_tasks: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Tasks to draw from the distributions (0: training draws as it goes on)."""
    task_seed: Seed = 0
    """Seed of drawing those tasks."""
    seed: Seed = 0
    """Seed of everything random."""
    label: str = ""
    """Name of the method in the result rows."""
    settings: Path | None = None
    """YAML file of settings, `algorithm:` among them; options override it."""
    detach: bool = False
    """Print the run and don't wait for it."""
    profile: bool = False
    """Find out where the learner's time goes: write RUN.prof here and print the ten dearest functions."""


@config
class AlgorithmChoice:
    """Which algorithm learns."""

    algorithm: Literal[tuple(ALGORITHMS)] = "ppo"  # type: ignore[valid-type]
    """The algorithm's name."""


@config
class MethodChoice:
    """Which meta-learner learns."""

    method: Literal[(*META_LEARNERS, *FORMER_NAMES)] = "maml"  # type: ignore[valid-type]
    """The meta-learner's name."""


RUN = Section("Run", (RunOptions,))
META = Section("Meta-training", (MethodChoice, MetaConfig, *META_LEARNERS.values()), frozenset({"name"}))
ALGORITHM = Section("Algorithm", (AlgorithmChoice, *ALGORITHMS.values()), frozenset({"name"}))
WARMED_UP = replace(ALGORITHM, notes=dict.fromkeys(WARMUP_ONLY, "acts in the warm-up only (--warmup-epochs)"))
RUN_BACKENDS = tuple(name for name in convert.BACKENDS if name != RECORDED)
"""The backends that the learner has collectors for: the tasks of runs bring their recorded load along."""
ADAPTATION = Section("Adaptation", (AdaptConfig,), choices={"backend": RUN_BACKENDS})
Policy = Annotated[str, typer.Argument(help="Id of a stored policy.")]
Context = Annotated[
    LearntContextName | None,
    typer.Option(help="What the policy was trained to remember by; one that remembers otherwise is refused."),
]


@app.command()
@with_options(RUN, Section("Training", (TrainConfig,)), ALGORITHM)
def train(
    ctx: typer.Context,
    policy: Annotated[str, typer.Option(help="Id of a stored policy whose weights it starts from.")] = "",
    as_json: Json = False,
    *,
    given: Given,
) -> None:
    """Train one policy from nothing, on one task or on many (multi-task)."""
    _start(ctx.obj, pb.StartTrainingRequest(policy_id=policy), given, as_json)


@app.command()
@with_options(RUN, META, WARMED_UP)
def meta_train(ctx: typer.Context, as_json: Json = False, *, given: Given) -> None:
    """Meta-train a policy that adapts to a new task within a few gradient steps."""
    _start(ctx.obj, pb.StartMetaTrainingRequest(), given, as_json)


@app.command()
@with_options(RUN, Section("Transfer", (TransferConfig,)))
def transfer(
    ctx: typer.Context,
    policy: Policy,
    source_task: Annotated[
        list[str] | None, typer.Option(help="Task that stands for where the policy comes from (domain_adaptation).")
    ] = None,
    as_json: Json = False,
    *,
    given: Given,
) -> None:
    """Go on training a stored policy on other tasks."""
    _start(ctx.obj, pb.StartTransferRequest(policy_id=policy), given, as_json, beside=source_task or ())


@app.command()
@with_options(RUN, Section("Stream", (ContinualConfig,)))
def continual(ctx: typer.Context, policy: Policy, as_json: Json = False, *, given: Given) -> None:
    """Go on training a stored policy on clusters one after another, and measure it on all after each."""
    _start(ctx.obj, pb.StartContinualRequest(policy_id=policy), given, as_json)


@app.command()
@with_options(RUN, ADAPTATION)
def adapt(
    ctx: typer.Context,
    policy: Annotated[
        str, typer.Argument(help="Id of a stored policy, or like:MEMORY: that of the known cluster most like it.")
    ],
    context: Context = None,
    as_json: Json = False,
    *,
    given: Given,
) -> None:
    """Adapt a stored policy to every given task by inner steps, and measure it before and after each."""
    if policy.startswith(LIKE):
        policy = policy_of_nearest(ctx.obj, policy.removeprefix(LIKE), given["Run"].get("task", ()))
    _check_context(ctx.obj, policy, context)
    _start(ctx.obj, pb.StartAdaptationRequest(policy_id=policy), given, as_json)


@app.command()
@with_options(RUN, Section("Evaluation", (EvaluateConfig,)))
def evaluate(
    ctx: typer.Context,
    policy: Annotated[str, typer.Argument(help="Id of a stored policy; none with --baseline.")] = "",
    calibration_task: Annotated[
        list[str] | None,
        typer.Option(help="Task on which a baseline is tuned first (hpa_calibrated, hpa_tuned, rate_rule)."),
    ] = None,
    context: Context = None,
    as_json: Json = False,
    *,
    given: Given,
) -> None:
    """Measure a stored policy, or a baseline, on every given task."""
    given["Run"].setdefault("label", given["Evaluation"].get("baseline", ""))
    if calibration_task:
        refuse_calibration(given["Evaluation"].get("baseline", ""))
    _check_context(ctx.obj, policy, context)
    _start(ctx.obj, pb.StartEvaluationRequest(policy_id=policy), given, as_json, beside=calibration_task or ())


def _check_context(clients: Clients, policy: str, context: str | None) -> None:
    """Raise `InvalidInput` where the policy remembers by another context than the one that was asked for."""
    if context is None:
        return
    if not policy:
        raise InvalidInput("options", [Violation("--context", "is of a policy, and none is given")])
    record = clients.registry("GetPolicy", registry_pb2.GetPolicyRequest(policy_id=policy)).policy
    own = convert.algorithm_from_message(record.algorithm).context
    if own != context:
        raise InvalidInput("options", [Violation("--context", f"policy {policy} was trained with {own}")])


def _start(clients: Clients, request: Any, given: Given, as_json: bool, beside: Sequence[str] = ()) -> None:
    """Start a run and follow it; `beside` are the tasks, ids or files, that it names beside those it works on."""
    kind = KINDS[convert.kind_of_request(request)]
    options: RunOptions = parse(RunOptions, given["Run"], "options")
    settings_in_file, body = _read_settings(options.settings)
    if not options.task and not body:
        raise InvalidInput("options", [Violation("--task", "give at least one task id or task file")])
    from_file = by_known_names(settings_in_file)
    in_file = _by_name(from_file.get("algorithm", {}))
    source = str(options.settings) if options.settings else "options"
    algorithm = _algorithm(from_file.pop("algorithm", {}), given["Algorithm"], source) if kind.from_nothing else None
    own = next(values for title, values in given.items() if title not in ("Run", "Algorithm"))
    settings = parse(kind.settings, from_file | own, source)

    request.settings.CopyFrom(convert.to_message(settings, type(request.settings)))
    of_agent = of_sweep(os.environ)
    if not of_agent:  # whose combinations may hold what does nothing beside the others
        refuse_idle(settings, own, from_file, source)
    if algorithm is not None:
        request.algorithm.CopyFrom(convert.algorithm_to_message(algorithm))
        if not of_agent:
            refuse_idle(algorithm, given["Algorithm"], in_file, source, "algorithm")
        refuse_warmup_only(settings, given["Algorithm"], in_file, source, "algorithm")
    made: list[str] = []
    request.task_ids.extend(resolve(clients, list(options.task), made))
    if beside:
        getattr(request, kind.beside).extend(resolve(clients, list(beside), made))
    request.num_tasks, request.task_seed = options.num_tasks, options.task_seed
    request.seed, request.label = options.seed, options.label
    if body and not options.task:
        made += _add_tasks(clients, request, body, source)
    request.labels.update(of_agent)
    if options.profile:
        profiles.ask(request, options.detach)
    run = _started(clients, request, made)
    if options.detach:
        render.print_json(render.plain(run)) if as_json else render.console.print(run.id, highlight=False)
        return
    with pausing_when_stopped(clients, run.id) if of_agent else nullcontext():
        ended = follow(clients, run.id, bars=not as_json)
    try:
        report(clients, ended, as_json)
    finally:
        if options.profile:
            profiles.tell(clients, run.id)


def _started(clients: Clients, request: Any, made: Sequence[str]) -> run_pb2.Run:
    """The run; where it is refused, the tasks that were `made` for it, and no others, go again."""
    try:
        return start(clients, request)
    except InvalidInput:
        for task_id in made:
            with suppress(LwmecpsError):
                clients.registry("DeleteTask", registry_pb2.DeleteTaskRequest(task_id=task_id))
        raise


def _read_settings(path: Path | None) -> tuple[dict[str, Any], TaskFile | None]:
    """The settings in a file, and the tasks beside them in a request of the predecessor."""
    if path is None:
        return {}, None
    data = read_mapping(path)
    if not is_body(data):
        return data, None
    body = read_task_file(path)
    return dict(body.request.settings) if body.request else {}, body


def _add_tasks(clients: Clients, request: Any, body: TaskFile, source: str) -> list[str]:
    """Put the tasks of a request of the predecessor into ours; several distributions need a number of draws. Returns
    the ids of those that were registered for it.
    """
    items = checked(body, source)
    request.task_ids.extend([*(body.request.task_ids if body.request else ())])
    made = [register(clients, item).id for item in items]
    request.task_ids.extend(made)
    if len(items) > 1 and not request.num_tasks and any(isinstance(item, TaskDistribution) for item in items):
        request.num_tasks = DRAWN
        tell_notes((f"no --num-tasks given: {DRAWN} tasks are drawn from the distributions",))
    request.label = request.label or (body.request.label if body.request else "")
    return made


def _by_name(algorithm: Any) -> dict[str, Any]:
    """An algorithm in a file: a mapping, or its bare name."""
    return by_known_names(algorithm) if isinstance(algorithm, Mapping) else {"name": algorithm}


def _algorithm(from_file: Any, given: dict[str, Any], source: str) -> Any:
    """The algorithm's settings: the file's, overridden by options."""
    data = _by_name(from_file)
    data |= {name: value for name, value in given.items() if name != "algorithm"}
    data["name"] = given.get("algorithm", data.get("name", "ppo"))
    return parse(AlgorithmConfig, data, source)
