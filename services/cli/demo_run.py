"""The demo itself: services up, distributions registered, runs carried out, results written."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lwmecps_core.specs import EnvId, TaskDistribution
from lwmecps_core.statistics import summarise
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.profiles import load_profiles, profile_distribution
from lwmecps_core.training.sampling import seeds
from services.cli.clients import Clients
from services.cli.demo_plan import Problem, carry_out, days_on, plan, rows_of, trace_of
from services.cli.demo_plots import plot_adaptation, plot_placement
from services.cli.demo_settings import DemoSettings
from services.cli.local import SystemPlan, running
from services.cli.render import console, print_json, tell
from services.cli.results import comparison_table, gap_closed, worst_task, write_results
from services.cli.tasks import register


@dataclass(frozen=True)
class DemoOrder:
    """What `lwmecps demo` was asked for; an empty `redis_url` means a Redis of our own."""

    out: Path
    seed: int
    env: EnvId
    tasks: int
    profile: Path | None
    redis_url: str


def run(order: DemoOrder, as_json: bool, settings: DemoSettings = DemoSettings()) -> None:
    """Do everything, print the table, and write the results to `order.out`."""
    began = time.monotonic()
    steps = settings.adaptation.adaptation_steps
    training, held_out = distributions(settings, order.env, order.profile)
    order.out.mkdir(parents=True, exist_ok=True)
    tracking = (order.out / "tracking").resolve()
    with (
        tempfile.TemporaryDirectory(prefix="lwmecps-demo-") as state,
        running(
            SystemPlan(Path(state), redis_url=order.redis_url, workers=2, learners=3, slots=1, tracking=tracking), tell
        ) as system,
    ):
        clients = Clients(system.addresses)
        training_id = register(clients, training, "demo-training").id
        held_out_id = training_id if held_out == training else register(clients, held_out, "demo-held-out").id
        problem = Problem(training_id, held_out_id, order.tasks, order.seed)
        done = carry_out(clients, plan(problem, settings), system.check)
        rows = rows_of(done)
        tasks = [draw(held_out, each) for each in seeds(order.seed, "tasks", order.tasks)]
        first, worst = tasks[0], next(task for task in tasks if task.name == worst_task(rows))
        policy_id = done["context_train"].run.result_policy_id
        days = carry_out(clients, days_on(register(clients, worst).id, policy_id, problem), system.check)

    summaries = summarise(rows)
    write_results(order.out, order.seed, rows, summaries)
    plot_adaptation(rows, summaries, order.out / "adaptation.png")
    for name, title, task, source in (
        ("placement", "A day on the held-out cluster", first, done),
        ("placement_worst", "A day on the held-out cluster where context does worst beside the rule:", worst, days),
    ):
        shown = {method: trace_of(source, method) for method in ("context", "hpa_calibrated")}
        plot_placement(f"{title} {task.name}", task, shown, order.out / f"{name}.png")
    told = {f"context({before + 1})": ("context", 0, before + 1) for before in settings.episodes_before} | {
        f"{name}({steps})": (name, steps) for name in ("context_adapted", "adapted")
    }
    closed = {
        label: (gap_closed(summaries, key, ("scratch", steps)), gap_closed(summaries, key, ("hpa_calibrated", 0)))
        for label, key in told.items()
    }
    wall_s = time.monotonic() - began
    if as_json:
        shares = {label: {"from_scratch": a, "from_hpa_calibrated": b} for label, (a, b) in closed.items()}
        print_json({"out": str(order.out), "gap_closed": shares, "wall_s": wall_s})
        return
    console.print(comparison_table(rows, summaries))
    for label, (a, b) in closed.items():
        low = f"scratch({steps}) to oracle, {100 * b:.0f} % of that from hpa_calibrated"
        console.print(f"{label} closes {100 * a:.0f} % of the gap from {low}", highlight=False)
    console.print("* the 95 % interval of the difference, paired over tasks, excludes 0", highlight=False)
    files = "results.json, results.csv, and adaptation, placement and placement_worst as .png and .svg"
    console.print(f"{files} are in {order.out}", highlight=False)
    console.print(f"took {wall_s:.0f} s", highlight=False)


def distributions(
    settings: DemoSettings, env: EnvId, profile: Path | None
) -> tuple[TaskDistribution, TaskDistribution]:
    """What is trained on, and what the held-out tasks are drawn from: the same, or clusters under recorded load.

    With a recording, training sees generated load of the same kind only, on as many stations.
    """
    if profile is None:
        both = TaskDistribution(family="mec_city", env_id=env, nodes=settings.nodes, deployments=settings.deployments)
        return both, both
    load = load_profiles(profile)
    stations = len(load.stations)
    training = TaskDistribution(family="load_profile", env_id=env, nodes=stations, deployments=stations)
    return training, profile_distribution(load, training)
