"""`lwmecps demo`: train through the services, act on held-out clusters, and compare with everything else."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lwmecps_core.specs import EnvId
from services.cli.json_option import Json

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for results.json, results.csv and the pictures.")] = Path(
        "out/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the held-out tasks and of all runs.", min=0)] = 0,
    env: Annotated[
        EnvId, typer.Option(help="Environment version.", metavar="<lwmecps-v1|...|lwmecps-v4-continuous>")
    ] = "lwmecps-v3",
    tasks: Annotated[int, typer.Option(help="Held-out tasks.", min=2)] = 64,
    profile: Annotated[
        Path | None, typer.Option(help="Folder of recorded load profiles: the load of the held-out clusters.")
    ] = None,
    context: Annotated[
        Literal["statistics", "recurrent"] | None,
        typer.Option(
            help="What the policy remembers of a cluster: running statistics, or what it learns to remember (RL²); "
            "default: recurrent, or statistics where --backend kubernetes has too little time to train the other."
        ),
    ] = None,
    # Not a list of backends, but of the two demonstrations that there are.
    backend: Annotated[
        Literal["simulated", "kubernetes"],
        typer.Option(help="Where policies act: on held-out simulated clusters, or on a real one."),
    ] = "simulated",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(envvar="KUBECONFIG", help="The real cluster; default: the one that make kube-up started."),
    ] = None,
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help="A Redis to use; default: one of our own.")] = "",
    short: Annotated[
        bool, typer.Option("--short", help="Train for seconds, on 2 tasks: whether all of it runs, not how well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start the system, train, act on clusters never seen, adapt in 5 gradient steps, and print the comparison."""
    # Imported here, because these load matplotlib, SciPy and the Kubernetes client, which no other command needs.
    from services.cli import demo_cluster, demo_run
    from services.cli.demo_settings import SHORT_TASKS, DemoSettings, remembering, shortened

    settings = remembering(DemoSettings(), context or ("statistics" if backend == "kubernetes" else "recurrent"))
    if short:
        settings, tasks = shortened(settings), SHORT_TASKS
    if backend == "kubernetes":
        demo_cluster.run(
            demo_cluster.ClusterDemoOrder(out, seed, env, kubeconfig or demo_cluster.KUBE_UP, redis_url),
            as_json,
            settings,
        )
    else:
        demo_run.run(demo_run.DemoOrder(out, seed, env, tasks, profile, redis_url), as_json, settings)
