"""`lwmecps demo`: meta-train through the services, adapt to held-out clusters, and compare with everything else."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from lwmecps_core.sampling import seeds
from lwmecps_core.specs import EnvId, TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.profiles import load_profiles, profile_distribution
from services.cli.clients import Clients
from services.cli.demo_plan import Problem, carry_out, plan, rows_of, trace_of
from services.cli.demo_plots import plot_adaptation, plot_placement
from services.cli.demo_report import gap_closed, result_table, summarise, write_results
from services.cli.demo_settings import DemoSettings
from services.cli.local import Plan, running
from services.cli.render import console, print_json
from services.cli.tasks import Json, register

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for results.json, results.csv and the pictures.")] = Path(
        "out/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the held-out tasks and of all runs.", min=0)] = 0,
    env: Annotated[EnvId, typer.Option(help="Environment version.")] = "lwmecps-v3",
    tasks: Annotated[int, typer.Option(help="Held-out tasks.", min=2)] = 24,
    profile: Annotated[
        Path | None, typer.Option(help="Folder of recorded load profiles: the load of the held-out clusters.")
    ] = None,
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help="A Redis to use; default: one of our own.")] = "",
    as_json: Json = False,
) -> None:
    """Start the system, meta-train, adapt to held-out clusters in 5 gradient steps, and print the comparison."""
    began = time.monotonic()
    settings = DemoSettings()
    training, held_out = distributions(settings, env, profile)
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="lwmecps-demo-") as state,
        running(Plan(Path(state), redis_url=redis_url)) as system,
    ):
        clients = Clients(system.addresses)
        training_id = register(clients, training, "demo-training").id
        held_out_id = training_id if held_out == training else register(clients, held_out, "demo-held-out").id
        problem = Problem(training_id, held_out_id, tasks, seed)
        done = carry_out(clients, plan(problem, settings), system.check)
    rows = rows_of(done)
    summaries, steps = summarise(rows), settings.adaptation.adaptation_steps
    write_results(out, seed, rows, summaries)
    plot_adaptation(summaries, out / "adaptation.png")
    plot_placement(trace_of(done, "adapted"), _hours_per_step(held_out, tasks, seed), out / "placement.png")
    if as_json:
        print_json({"out": str(out), "gap_closed": gap_closed(summaries, steps), "wall_s": time.monotonic() - began})
        return
    console.print(result_table(rows, summaries, steps))
    closed = f"adapted({steps}) closes {100 * gap_closed(summaries, steps):.0f} % of the gap from scratch to oracle"
    console.print(f"{closed}; * = 95 % interval of the paired difference excludes 0", highlight=False)
    console.print(f"{out}/: results.json, results.csv, adaptation.png, placement.png", highlight=False)
    console.print(f"took {time.monotonic() - began:.0f} s", highlight=False)


def distributions(
    settings: DemoSettings, env: EnvId, profile: Path | None
) -> tuple[TaskDistribution, TaskDistribution]:
    """What is trained on, and what the held-out tasks are drawn from: the same, or clusters under recorded load.

    With a recording, training sees generated load of the same kind only, on as many stations.
    """
    if profile is None:
        both = TaskDistribution(
            family="mec_city", env_id=env, nodes=settings.nodes, deployments=settings.deployments
        )
        return both, both
    load = load_profiles(profile)
    stations = len(load.stations)
    training = TaskDistribution(family="load_profile", env_id=env, nodes=stations, deployments=stations)
    return training, profile_distribution(load, training)


def _hours_per_step(held_out: TaskDistribution, tasks: int, seed: int) -> float:
    """How much of the first held-out task's day passes in one control interval."""
    first = draw(held_out, next(iter(seeds(seed, "tasks", tasks))))
    return first.interval_s * first.workload.speedup / 3600
