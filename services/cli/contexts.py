"""`lwmecps context`: what policies remember of clusters, in words, as files and in the registry."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lwmecps_core.env_ids import EnvId
from lwmecps_core.errors import InvalidInput, NotFound, Violation
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import memory_pb2 as pb
from services.cli import render
from services.cli.clients import Clients
from services.cli.json_option import Json
from services.cli.places import IN_REGISTRY, WHERE, InFile, InRegistry, place

MetricName = Literal["prototypical", "matching", "relation"]  # that of `meta.metric`, which loads PyTorch
LIKE = "like:"
"""Before a memory, in place of a policy: that of the nearest known cluster."""
MOST_ASKED = 100
app = typer.Typer(help="Show, save and load what policies remember of clusters.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name among the memories of the task.", metavar="NAME")]
Task = Annotated[str, typer.Option("--task", help="Id of the registered task.")]


@app.command()
def show(
    ctx: typer.Context,
    memory: Annotated[str, typer.Argument(help=WHERE)],
    task: Annotated[str, typer.Option(help="Id of a task, or a task file: what it says stands beside.")] = "",
    task_seed: Annotated[int, typer.Option(help="Which task of a distribution.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Say in words and units what a policy believes about a cluster."""
    # PyTorch, which reads the files, and the environments take long to import.
    from lwmecps_core.context import artefact, described
    from lwmecps_core.envs.actions import env_spec
    from services.cli.tasks import drawn

    at = place(ctx.obj, memory, task)
    spec = drawn(ctx.obj, task, task_seed) if task else None
    known = artefact.from_bytes(_content(at), str(at))
    if spec is not None:
        wanted = artefact.subject_of(spec, env_spec(spec), known.subject.context, known.subject.policy_id)
        artefact.check_fits(known, wanted, str(at))
    beliefs = described.described(known, spec)
    if as_json:
        subject = {name: getattr(known.subject, name) for name in ("context", "policy_id", "task")}
        render.print_json({**subject, "beliefs": [asdict(belief) for belief in beliefs]})
        return
    title = f"{at}: {known.subject.context} of {known.subject.task}, kept by {known.subject.policy_id or 'nobody'}"
    columns = ("about", "what", "believed", *(["in the task"] if spec else []))
    rows = ([b.about, b.what, b.believed, *([b.stands] if spec else [])] for b in beliefs)
    render.console.print(render.table(title, columns, rows), markup=False)


@app.command()
def nearest(
    ctx: typer.Context,
    memory: Annotated[str, typer.Argument(help=WHERE)],
    task: Annotated[str, typer.Option(help="Id of the registered task: its own memories are left out.")] = "",
    metric: Annotated[
        Path | None, typer.Option(help="File that `learn` wrote; default: statistics as they are.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most clusters to name.")] = 5,
    as_json: Json = False,
) -> None:
    """Say which clusters that the registry keeps memories of a cluster is like, and why."""
    answer = resembling(ctx.obj, memory, task, metric, limit)
    if as_json:
        render.print_json(render.plain(answer))
        return
    columns = ("memory", "policy", "distance", "alike", "differs: here / there")
    rows = (
        (
            f"{near.name} of {near.task_id} ({near.task})",
            near.policy_id,
            f"{near.distance:.3g}",
            "\n".join(f"{r.quantity}: {r.here}" for r in near.alike),
            "\n".join(f"{r.quantity}: {r.here} / {r.there}" for r in near.differs),
        )
        for near in answer.nearest
    )
    if answer.nearest:
        render.console.print(render.table(f"clusters like that of {memory}", columns, rows), markup=False)
    else:
        found = "the registry keeps no memory of another cluster that this one could be compared with"
        render.console.print(f"{found} (`act --memory registry:NAME` and `context load` store them)", markup=False)
    for passed in answer.skipped:
        render.errors.print(f"{passed.name} of {passed.task_id} is passed over: {passed.reason}", markup=False)


@app.command()
def learn(
    file: Annotated[Path, typer.Argument(help="File to write, for `nearest --metric`.")],
    name: Annotated[MetricName, typer.Option(help="Which network.", show_default=True)] = "prototypical",
    env: Annotated[EnvId, typer.Option(help="Environment version.", metavar="<lwmecps-v1|...>")] = "lwmecps-v3",
    fleets: Annotated[int, typer.Option(min=10, max=10_000, help="Fleets of simulated clusters to learn from.")] = 96,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Learn on this machine, from simulated fleets under an autoscaler, what makes clusters alike."""
    from lwmecps_core.meta import likeness
    from lwmecps_core.meta.metric import MetricConfig
    from lwmecps_core.specs import TaskDistribution
    from lwmecps_core.training.metric import simulated

    made = simulated(MetricConfig(name=name), TaskDistribution(env_id=env), seed, fleets)
    content = likeness.to_bytes(made)
    InFile(file).write(content)
    render.console.print(f"{file}  {len(content):,} bytes", highlight=False, markup=False)


@app.command()
def save(
    ctx: typer.Context,
    name: Name,
    task: Task,
    to: Annotated[Path | None, typer.Option(help="File to write; default NAME.safetensors.")] = None,
) -> None:
    """Save what the registry keeps to a file, for `load`, or for `act --memory`."""
    at, path = place(ctx.obj, IN_REGISTRY + name, task), to or Path(f"{name}.safetensors")
    if to is None and path.name != str(path):
        raise InvalidInput("options", [Violation("--to", f"say where: {name!r} is no name of a file")])
    content = _content(at)
    InFile(path).write(content)
    render.console.print(f"{path}  {len(content):,} bytes", highlight=False, markup=False)


@app.command()
def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `save` or `act --memory` wrote.")],
    task: Task,
    name: Annotated[str, typer.Option(help="Name among the memories of the task; default that of the file.")] = "",
) -> None:
    """Load a file into the registry, in place of what is kept there under the name."""
    from lwmecps_core.context import artefact
    from lwmecps_core.envs.actions import env_spec
    from services.cli.tasks import drawn

    at = place(ctx.obj, IN_REGISTRY + (name or file.stem), task)
    content, spec = _content(InFile(file)), drawn(ctx.obj, task, 0)
    known = artefact.from_bytes(content, str(file))
    wanted = artefact.subject_of(spec, env_spec(spec), known.subject.context, known.subject.policy_id)
    artefact.check_fits(known, wanted, str(file))
    at.write(content)
    render.console.print(str(at), highlight=False, markup=False)


@app.command("list")
def list_(
    ctx: typer.Context,
    task: Annotated[str, typer.Option(help="Only of this registered task.")] = "",
    as_json: Json = False,
) -> None:
    """List what the registry keeps."""
    found = ctx.obj.registry.pages("ListMemories", pb.ListMemoriesRequest(task_id=task), "memories")
    if as_json:
        render.print_json([render.plain(memory) for memory in found])
        return
    lines = ((m.task_id, m.name, f"{m.size_bytes:,}", f"{m.update_time.ToDatetime():%Y-%m-%d %H:%M:%S}") for m in found)
    render.console.print(render.table("memories", ("task", "name", "bytes", "changed"), lines))


@app.command()
def delete(ctx: typer.Context, name: Name, task: Task) -> None:
    """Forget what the registry keeps under a name."""
    ctx.obj.registry("DeleteMemory", pb.DeleteMemoryRequest(task_id=task, name=name))
    render.console.print(f"{task}/{name} deleted", highlight=False, markup=False)


def resembling(clients: Clients, memory: str, task: str, metric: Path | None, limit: int) -> Any:
    """The learner's answer to `GetNearestContexts` about what lies in a place."""
    at = place(clients, memory, task)
    request = learner_pb2.GetNearestContextsRequest(task_id=task, limit=limit)
    if metric is not None:
        request.metric = _content(InFile(metric), "metric")
    if isinstance(at, InRegistry):
        request.name = at.name
    else:
        request.content = _content(at)
    return clients.learner("GetNearestContexts", request)


def policy_of_nearest(clients: Clients, memory: str, tasks: Sequence[str]) -> str:
    """The policy that remembers the known cluster that one is most like; says which, and raises `InvalidInput` where no
    known cluster names a policy. `registry:NAME` is of the one task that is adapted to.
    """
    answer = resembling(clients, memory, tasks[0] if len(tasks) == 1 else "", None, MOST_ASKED)
    near = next((n for n in answer.nearest if n.policy_id), None)
    if near is None:
        reason = f"no cluster that is known and like that of {memory} names a policy"
        raise InvalidInput("options", [Violation("policy", reason)])
    said = f"policy {near.policy_id}, of {near.name} of {near.task_id}, at a distance of {near.distance:.3g}"
    render.errors.print(said, markup=False, soft_wrap=True)
    return str(near.policy_id)


def _content(at: InFile | InRegistry, what: str = "memory") -> bytes:
    content = at.read()
    if content is None:
        if isinstance(at, InRegistry):
            raise NotFound("memory", f"{at.task_id}/{at.name}")
        raise InvalidInput(str(at), [Violation(what, "there is no such file")])
    return content
