"""`lwmecps task`: register tasks and distributions, and look at them."""

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lwmecps_core.env_ids import EnvId
from lwmecps_core.errors import InvalidInput, Violation
from protos.lwmecps.registry.v1 import recording_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.cli.again import same_as
from services.cli.clients import Clients
from services.cli.json_option import Json
from services.cli.render import console, errors, plain, print_json, table, tell

if TYPE_CHECKING:  # the library's part of tasks is imported where it is needed: lists need none of it
    from lwmecps_core.specs import TaskDistribution, TaskSpec

app = typer.Typer(help="Register tasks and task distributions, and look at them.", no_args_is_help=True)
DISCOVERED = """\
# Nodes and Deployments are those of the cluster. Fill in what no API server knows: `cluster.rtt_ms`,
# `deployments.cpu_time_ms`, `workload` and `objective`. Nothing is changed until `kubernetes.manage` is true.
"""
KINDS = {number: name.removeprefix("TASK_KIND_").lower() for name, number in recording_pb2.TaskKind.items()}


@app.command()
def create(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A task or a task distribution, YAML or JSON.")],
    name: Annotated[str, typer.Option(help="Its name, in place of a task's own.")] = "",
    scale_to: Annotated[
        float | None,
        typer.Option(min=0.0, help="Scale a task's load: the busiest needs this share of what serves it at the peak."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a load that can't be served.")] = False,
    as_json: Json = False,
) -> None:
    """Register a task file; it is checked before it is sent, and what was assumed and what can't be served is said.

    The same content again makes another task, and says which one was there.
    """
    tasks = create_from(ctx.obj, file, name, scale_to, strict)
    if as_json:
        print_json([plain(task) for task in tasks] if len(tasks) > 1 else plain(tasks[0]))
    else:
        for task in tasks:
            console.print(f"{task.id}  {task.name}", highlight=False)


@app.command()
def discover(
    namespace: Annotated[str, typer.Option(help="Whose Deployments to manage.")] = "default",
    selector: Annotated[str, typer.Option(help="Only Deployments with these labels, as kubectl takes them.")] = "",
    env: Annotated[
        EnvId, typer.Option(help="Environment version.", metavar="<lwmecps-v1|...|lwmecps-v4-continuous>")
    ] = "lwmecps-v3",
    kubeconfig: Annotated[Path, typer.Option(envvar="KUBECONFIG", help="How to reach the cluster.")] = Path(
        "~/.kube/config"
    ),
) -> None:
    """Write a task file of a real cluster's nodes and Deployments; what no cluster knows is left to be filled in."""
    from lwmecps_core.cluster.kubernetes_api import Api  # the Kubernetes client takes long to import
    from lwmecps_core.config import parse
    from lwmecps_core.specs import KubernetesSpec
    from lwmecps_core.tasks.files import task_to_yaml
    from services.cli import discovery

    where = parse(KubernetesSpec, {"namespace": namespace, "label_selector": selector}, "options")
    with closing(Api(kubeconfig.expanduser())) as api:
        task, said = discovery.discover(api, where, env)
    for line in said:
        errors.print(line, soft_wrap=True, highlight=False, markup=False)
    print(DISCOVERED + task_to_yaml(task), end="")


@app.command()
def delete(
    ctx: typer.Context, task_ids: Annotated[list[str], typer.Argument(help="Ids of tasks.", metavar="TASK...")]
) -> None:
    """Remove tasks and what is remembered of their clusters; refused while an unfinished run uses one."""
    for task_id in task_ids:
        ctx.obj.registry("DeleteTask", pb.DeleteTaskRequest(task_id=task_id))
        console.print(f"{task_id} deleted", highlight=False)


@app.command("list")
def list_(
    ctx: typer.Context,
    family: Annotated[str, typer.Option(help="Only tasks of this family.")] = "",
    as_json: Json = False,
) -> None:
    """List registered tasks, newest first."""
    tasks = ctx.obj.registry.pages("ListTasks", pb.ListTasksRequest(family=family), "tasks")
    if as_json:
        print_json([_outline(task) for task in tasks])
    else:
        columns = ("id", "name", "kind", "environment", "nodes", "deployments", "recorded")
        console.print(table("tasks", columns, map(_line, tasks)))


@app.command()
def show(
    ctx: typer.Context,
    task_id: str,
    summary: Annotated[bool, typer.Option("--summary", help="Only what it is about, and its recording.")] = False,
    as_json: Json = False,
) -> None:
    """Show one task, with its cluster, deployments, workload and objective; numbers are shown as numbers."""
    if summary:
        view = recording_pb2.TASK_VIEW_SUMMARY
        print_json(plain(ctx.obj.registry("GetTask", pb.GetTaskRequest(task_id=task_id, view=view)).task))
        return
    from lwmecps_core.tasks.files import task_to_yaml

    task = ctx.obj.registry("GetTask", pb.GetTaskRequest(task_id=task_id)).task
    value = _value(ctx.obj, task)  # puts a recording that is kept beside the task into it
    if as_json:
        print_json(plain(task))
    else:
        console.print(task_to_yaml(value), highlight=False, markup=False, soft_wrap=True)


def register(clients: Clients, task: "TaskSpec | TaskDistribution", name: str = "") -> pb.Task:
    """Register a task or distribution."""
    from lwmecps_core.specs import TaskDistribution
    from services.common import convert

    request = pb.CreateTaskRequest()
    if isinstance(task, TaskDistribution):
        request.name = name
        request.distribution.CopyFrom(convert.distribution_to_message(task))
    else:
        request.spec.CopyFrom(convert.task_to_message(replace(task, name=name) if name else task))
    if known := same_as(clients, request):
        tell(f"note: {known} holds the same already; it is registered once more (--name tells two apart)")
    created: pb.Task = clients.registry("CreateTask", request).task
    return created


def create_from(
    clients: Clients,
    path: Path,
    name: str = "",
    scale_to: float | None = None,
    strict: bool = False,
    made: list[str] | None = None,
) -> list[pb.Task]:
    """Register what a file holds; of a request of the predecessor, also the registered tasks that it names. Ids of
    what was registered just now are added to `made`.

    Raises `InvalidInput` for a file that holds and names none, and, if `strict`, for load that can't be served.
    """
    from lwmecps_core.tasks.files import read_task_file
    from services.cli.loads import checked

    file = read_task_file(path)
    items = checked(file, str(path), scale_to, strict)
    named = file.request.named_ids if file.request else ()
    if not items and not named:
        raise InvalidInput(str(path), [Violation(".", "holds no task and no distribution")])
    known = [clients.registry("GetTask", pb.GetTaskRequest(task_id=id_)).task for id_ in named]
    new = [register(clients, item, name) for item in items]
    if made is not None:
        made += [task.id for task in new]
    return known + new


def resolve(clients: Clients, ids_or_files: list[str], made: list[str] | None = None) -> list[str]:
    """Ids of registered tasks; what names a file is registered first (see `create_from`)."""
    found = []
    for item in ids_or_files:
        found += [task.id for task in create_from(clients, Path(item), made=made)] if is_file(item) else [item]
    return found


def fetch(clients: Clients, id_or_file: str) -> "TaskSpec | TaskDistribution":
    """A registered task, or the one in a file."""
    if is_file(id_or_file):
        from services.cli.loads import only

        return only(id_or_file)
    return _value(clients, clients.registry("GetTask", pb.GetTaskRequest(task_id=id_or_file)).task)


def drawn(clients: Clients, id_or_file: str, seed: int) -> "TaskSpec":
    """That task, or the one of that seed where it is a distribution."""
    from lwmecps_core.specs import TaskDistribution
    from lwmecps_core.tasks.families import draw

    value = fetch(clients, id_or_file)
    return draw(value, seed) if isinstance(value, TaskDistribution) else value


def is_file(text: str) -> bool:
    """Whether a task is given as a file, not as an id."""
    return Path(text).suffix in (".yaml", ".yml", ".json")


def _value(clients: Clients, task: pb.Task) -> "TaskSpec | TaskDistribution":
    from services.common import recordings

    return recordings.value_of(task, partial(clients.registry.stream, "DownloadRecording"))


def _line(task: pb.Task) -> tuple[str, ...]:
    s, kind = task.summary, KINDS[task.summary.kind]
    recorded = f"{s.recording.steps:,} steps" if s.HasField("recording") else ""
    return task.id, task.name, kind, s.env_id, str(s.nodes), str(s.deployments), recorded


def _outline(task: pb.Task) -> dict[str, Any]:
    """A listed task as plain data; `kind` and `env_id` also stand where they stood before there were summaries."""
    kind = "spec" if task.summary.kind == recording_pb2.TASK_KIND_TASK else "distribution"
    return plain(task) | {"kind": kind, "env_id": task.summary.env_id}
