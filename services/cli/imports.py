"""`lwmecps import KIND FILE…`: traces, topologies and clusters of others as tasks."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import EnvId, TaskSpec
from lwmecps_core.tasks.files import TaskFile, read_task_file, replay_notes
from lwmecps_core.tasks.importers.options import (
    AlibabaOptions,
    AzureOptions,
    CsvOptions,
    Distance,
    EdgeSimPyOptions,
    EuaOptions,
    LoadOptions,
    MatrixOptions,
    PlacesOptions,
    PrometheusOptions,
    YafsOptions,
    check,
)
from services.cli.files import write_whole
from services.cli.loads import checked, tell_notes
from services.cli.options import Given, Section, with_options
from services.cli.render import console, errors
from services.cli.tasks import register

app = typer.Typer(
    help="Make tasks of what others publish or measured: load, places and links, clusters.", no_args_is_help=True
)
OneFile = Annotated[Path, typer.Argument(help="The source's file.", show_default=False)]
Files = Annotated[list[Path], typer.Argument(help="The source's files.", show_default=False)]


@config
class OutputOptions:
    """Where a task goes, and on which cluster it is."""

    out: Path | None = None
    """File to write (.yaml, or .json, which is read faster); standard output if none is given."""
    create: bool = False
    """Register the task in place of writing it."""
    scale_to: float | None = None
    """Scale the load: the busiest needs this share of what serves it at the peak."""
    strict: bool = False
    """Refuse a load that can't be served."""


@config
class ClusterOption:
    """On which cluster the load comes."""

    cluster: Path | None = None
    """Task file whose nodes and deployments get the load, joined by name; a made-up cluster if none is given."""


@config
class KubectlOptions:
    """Whose Deployments become the task's."""

    namespace: str = ""
    """Whose Deployments to take; the only namespace that has any if none is given."""
    env_id: EnvId = "lwmecps-v3"
    """Environment version."""


OUTPUT = Section("Output", (OutputOptions,))
LOAD = Section("Task", (ClusterOption, LoadOptions))
PLACES = Section(
    "Task", (ClusterOption, PlacesOptions), notes={"cluster": "here: whose round trips become the source's"}
)
SCENARIO = Section("Task", (PlacesOptions,))


@app.command()
@with_options(Section("Table", (CsvOptions,)), LOAD, OUTPUT)
def csv(ctx: typer.Context, files: Files, given: Given) -> None:
    """Load in tables of text: one value per row (--value), or one column per node; units and times are asked for."""
    from lwmecps_core.tasks.importers.csv_load import read_csv

    options = _read(CsvOptions, given["Table"])
    _load(ctx, given, lambda top, nodes: read_csv(files, options, top, nodes), bool(options.node) or not options.value)


@app.command("azure-functions")
@with_options(Section("Azure Functions 2019", (AzureOptions,)), LOAD, OUTPUT)
def azure_functions(ctx: typer.Context, files: Files, given: Given) -> None:
    """Invocations per minute, and durations, of Azure Functions in 2019: one file a day of each."""
    from lwmecps_core.tasks.importers.azure import read_azure

    options = _read(AzureOptions, given["Azure Functions 2019"])
    _load(ctx, given, lambda top, nodes: read_azure(files, options, top, nodes), False)


@app.command("alibaba-microservices")
@with_options(Section("Alibaba 2022", (AlibabaOptions,)), LOAD, OUTPUT)
def alibaba_microservices(ctx: typer.Context, files: Files, given: Given) -> None:
    """Call rates and response times of Alibaba's microservices in 2022 (MSRTMCR)."""
    from lwmecps_core.tasks.importers.alibaba import read_alibaba

    options = _read(AlibabaOptions, given["Alibaba 2022"])
    _load(ctx, given, lambda top, nodes: read_alibaba(files, options, top, nodes), False)


@app.command()
@with_options(Section("Prometheus", (PrometheusOptions,)), LOAD, OUTPUT)
def prometheus(ctx: typer.Context, files: Files, given: Given) -> None:
    """Load in answers of Prometheus to range queries (/api/v1/query_range)."""
    from lwmecps_core.tasks.importers.prometheus import read_prometheus, refuse_nothing_named

    options = _read(PrometheusOptions, given["Prometheus"])
    refuse_nothing_named(options)
    _load(
        ctx,
        given,
        lambda top, nodes: read_prometheus(files, options, top, nodes),
        bool(options.node or options.deployment),
    )


@app.command("latency-matrix")
@with_options(Section("Matrix", (MatrixOptions,)), PLACES, OUTPUT)
def latency_matrix(ctx: typer.Context, file: OneFile, given: Given) -> None:
    """Round trips in a square or long table; units and directions are asked for."""
    from lwmecps_core.tasks.importers.matrix import read_matrix

    options = _read(MatrixOptions, given["Matrix"])
    _places(ctx, given, lambda: read_matrix(file, options))


@app.command("topology-zoo")
@with_options(Section("Distance", (Distance,)), PLACES, OUTPUT)
def topology_zoo(ctx: typer.Context, file: OneFile, given: Given) -> None:
    """Places and links of the Internet Topology Zoo (GraphML)."""
    from lwmecps_core.tasks.importers.topology_zoo import read_topology_zoo

    options = _read(Distance, given["Distance"])
    _places(ctx, given, lambda: read_topology_zoo(file, options))


@app.command()
@with_options(Section("EUA", (EuaOptions,)), PLACES, OUTPUT)
def eua(ctx: typer.Context, files: Files, given: Given) -> None:
    """Sites and users of the EUA datasets (CSV)."""
    from lwmecps_core.tasks.importers.eua import read_eua

    options = _read(EuaOptions, given["EUA"])
    _places(ctx, given, lambda: read_eua(files, options))


@app.command()
@with_options(Section("EdgeSimPy", (EdgeSimPyOptions,)), SCENARIO, OUTPUT)
def edgesimpy(ctx: typer.Context, file: OneFile, given: Given) -> None:
    """A scenario of EdgeSimPy (JSON); it has no units, so they are asked for."""
    from lwmecps_core.tasks.importers.edgesimpy import read_edgesimpy

    options = _read(EdgeSimPyOptions, given["EdgeSimPy"])
    _places(ctx, given, lambda: read_edgesimpy(file, options))


@app.command()
@with_options(Section("YAFS", (YafsOptions,)), SCENARIO, OUTPUT)
def yafs(ctx: typer.Context, files: Files, given: Given) -> None:
    """A scenario of YAFS (JSON): network, and applications, allocation and users where there are such files."""
    from lwmecps_core.tasks.importers.yafs import read_yafs

    options = _read(YafsOptions, given["YAFS"])
    _places(ctx, given, lambda: read_yafs(files, options))


@app.command()
@with_options(Section("Cluster", (KubectlOptions,)), OUTPUT)
def kubectl(ctx: typer.Context, files: Files, given: Given) -> None:
    """What `kubectl get nodes,deployments,pods,limitranges -o yaml` wrote, without a cluster at hand."""
    from services.cli.kubectl_dump import read_dump  # the Kubernetes client takes long to import

    options, output = _read(KubectlOptions, given["Cluster"]), _output(given)
    task, said = read_dump(files, options)
    deliver(ctx, task, said, str(files[0]), output)


def _places(ctx: typer.Context, given: Given, read: Callable[[], Any]) -> None:
    """Places as a task of their own, or as the round trips of the one in `--cluster`."""
    from lwmecps_core.tasks.importers.places import with_places

    chosen, output = dict(given["Task"]), _output(given)
    template = _template(chosen.pop("cluster", None))
    options = _read(PlacesOptions, chosen)
    places = read()
    made = with_places(places, template, options)
    deliver(ctx, made.item, made.notes, str(places.source), output)


def _load(ctx: typer.Context, given: Given, read: Any, places: bool) -> None:
    """A load, read with what `--top` and `--stations` ask for, as a task or distribution."""
    from lwmecps_core.tasks.importers.assemble import with_load
    from lwmecps_core.tasks.importers.loads import stations_wanted

    chosen, output = dict(given["Task"]), _output(given)
    template = _template(chosen.pop("cluster", None))
    options = _read(LoadOptions, chosen)
    nodes = [node.name for node in template.cluster.nodes] if template else None
    made = with_load(read(options.top, stations_wanted(options, nodes, places)), template, options)
    deliver(ctx, made.item, made.notes, "the imported load", output)


def _output(given: Given) -> OutputOptions:
    """Where the task goes; raises `InvalidInput` where it can't, before anything is read."""
    output: OutputOptions = _read(OutputOptions, given["Output"])
    if output.out is not None and not os.access(output.out.parent, os.W_OK):
        raise InvalidInput(
            "command line",
            [Violation("--out", f"{output.out} can't be written: there is no such folder, or not for us")],
        )
    return output


def deliver(ctx: typer.Context, item: Any, notes: Sequence[str], source: str, output: OutputOptions) -> None:
    """Say what was mapped, assumed and dropped, what load comes and what it needs; then write or register the task."""
    from lwmecps_core.tasks.importers.output import to_json, to_yaml

    notes = (*notes, *replay_notes(item))
    (made,) = checked(TaskFile((item,), notes), source, output.scale_to, output.strict)
    if output.create:
        created = register(ctx.obj, made)
        console.print(f"{created.id}  {created.name}", highlight=False)
    if output.out is None:
        if not output.create:
            print(*to_yaml(made, notes), sep="", end="")
        return
    pieces = to_json(made) if output.out.suffix == ".json" else to_yaml(made, notes)
    try:
        write_whole(output.out, (piece.encode() for piece in pieces))
    except OSError as error:
        raise InvalidInput("command line", [Violation("--out", f"{output.out} can't be written: {error}")]) from None
    errors.print(f"written: {output.out}", highlight=False, markup=False, soft_wrap=True)


def _template(path: Path | None) -> TaskSpec | None:
    if path is None:
        return None
    file = read_task_file(path)
    tell_notes(tuple(f"{path.name}: {note}" for note in file.notes))
    found = file.only(str(path))
    if not isinstance(found, TaskSpec):
        raise InvalidInput(str(path), [Violation("--cluster", "holds a distribution: a task with nodes is needed")])
    return found


def _read(cls: Any, given: Mapping[str, Any]) -> Any:
    """Options as their class; what is wrong is named as it is on the command line."""
    try:
        found = parse(cls, given, "command line")
    except InvalidInput as error:
        named = [Violation("--" + v.field.replace("_", "-"), v.reason) for v in error.violations]
        raise InvalidInput(error.source, named) from None
    check(found)
    return found
