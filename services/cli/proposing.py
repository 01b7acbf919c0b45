"""`lwmecps propose`: settings for a family of clusters, from the trainings that the registry keeps."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lwmecps_core.choosing.population import ALGORITHMS
from lwmecps_core.errors import NotFound
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from protos.lwmecps.registry.v1 import run_pb2
from services.cli import render
from services.cli.clients import Clients
from services.cli.files import write_whole
from services.cli.json_option import Json
from services.cli.tasks import fetch

if TYPE_CHECKING:
    from lwmecps_core.choosing.proposing import Past, Proposal

NEW, EPISODES = "(new)", "total_episodes"
REWARD, LAST = "total_reward", 0.25
"""What a training reached: the mean over this part of its steps, the last ones."""
app = typer.Typer()
if TYPE_CHECKING:
    Algorithm = str
else:
    Algorithm = Literal[tuple(ALGORITHMS)]


@app.command()
def propose(
    ctx: typer.Context,
    task: Annotated[list[str], typer.Argument(help="Ids or files of tasks to train on.", metavar="TASK...")],
    total_episodes: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Episodes of the training (0: the median of those in the past).")
    ] = 0,
    algorithm: Annotated[Algorithm | None, typer.Option(help="Only trainings by this one; default: by any.")] = None,
    to: Annotated[Path | None, typer.Option(help="File of settings to write, for `train --settings`.")] = None,
    as_json: Json = False,
) -> None:
    """Propose settings for training on tasks that are new, from what past trainings on other families reached."""
    import yaml

    from lwmecps_core.choosing import family, proposing
    from lwmecps_core.config import parse
    from lwmecps_core.run_config import AlgorithmConfig, TrainConfig

    default = proposing.flat(parse(AlgorithmConfig, {"name": algorithm or "ppo"}, "options"), TrainConfig())
    families = {NEW: family.about([fetch(ctx.obj, one) for one in task])}
    past = _past(ctx.obj, families, algorithm or "")
    lengths = sorted(int(str(run.settings[EPISODES])) for run in proposing.usable(past))
    given = {EPISODES: total_episodes or lengths[len(lengths) // 2]}
    found = proposing.propose(past, families, NEW, default, given)
    if to:
        write_whole(to, yaml.safe_dump(proposing.unflat(found.settings), sort_keys=False).encode())
    if as_json:
        render.print_json(asdict(found))
    else:
        _show(found, {**default, **given})
        if to:
            render.console.print(f"{to}  for lwmecps train --settings", highlight=False, markup=False)


def _past(clients: Clients, families: dict[str, dict[str, float]], algorithm: str) -> "list[Past]":
    """Finished trainings from nothing, the newest first; their families are added to `families`.

    Tasks that are alike in all that is compared are one family, by whatever ids. Of tasks that are gone nothing is
    known: their trainings are left out, as are those of one policy for each task.
    """
    from lwmecps_core.choosing.proposing import MOST_RUNS, Past, flat
    from lwmecps_core.run_config import TrainConfig
    from services.common import convert

    asked = pb.ListRunsRequest(state=run_pb2.RUN_STATE_COMPLETED, kind=run_pb2.RUN_KIND_TRAIN, page_size=1000)
    names: dict[tuple[str, ...], str] = {}
    past: list[Past] = []
    for run in clients.registry.pages("ListRuns", asked, "runs"):
        spec = convert.run_spec_from_message(run.spec)
        learns_by, training = spec.learns_by, spec.settings
        if learns_by is None or not isinstance(training, TrainConfig) or training.independent or spec.policy_id:
            continue
        if algorithm not in ("", learns_by.name) or not (name := _family(clients, spec.task_ids, names, families)):
            continue
        reward, steps = _reached(clients, run.id)
        episodes = training.total_episodes or steps * training.episodes_per_batch * training.tasks_per_batch
        past.append(Past(name, {**flat(learns_by, training), EPISODES: episodes}, reward))
        if len(past) == MOST_RUNS:
            break
    return past


def _family(
    clients: Clients, ids: tuple[str, ...], names: dict[tuple[str, ...], str], families: dict[str, dict[str, float]]
) -> str:
    """The name of the family of these tasks; empty where one is gone."""
    from lwmecps_core.choosing import family

    if ids not in names:
        try:
            found = family.about([fetch(clients, one) for one in ids])
        except NotFound:
            names[ids] = ""
            return ""
        same = (name for name, about in families.items() if name != NEW and about == found)
        names[ids] = next(same, ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more")
        families[names[ids]] = found
    return names[ids]


def _reached(clients: Clients, run_id: str) -> tuple[float, int]:
    """The reward that a training reached, and how many steps it told of."""
    asked = pb.ListRunMetricsRequest(run_id=run_id, name=REWARD, page_size=1000)
    points = sorted((point.step, point.value) for point in clients.registry.pages("ListRunMetrics", asked, "metrics"))
    last = [value for _, value in points[-max(1, round(LAST * len(points))) :]]
    return (sum(last) / len(last) if last else float("nan")), len(points)


def _show(found: "Proposal", default: dict[str, Any]) -> None:
    differing = {n: x for n, x in found.settings.items() if x != default.get(n) or n == EPISODES}
    rows = [[name, _text(value), _text(default.get(name))] for name, value in sorted(differing.items())]
    render.console.print(render.table("proposal", ("setting", "proposed", "default"), rows))
    likest = sorted(found.likeness.items(), key=lambda pair: -pair[1])[:5]
    gain = f"{found.gain:.2f} ± {1.96 * found.gain_sd:.2f} standard deviations of a family's trainings (95 %)"
    lines = [
        f"expected above the defaults by {gain}" if found.gain > 0.0 else "nothing is expected to beat the defaults",
        f"from {found.runs} trainings of {len(found.likeness)} families with {found.tried} different settings; "
        f"{found.noise:.0%} of what differs in their rewards is taken for chance",
        "alike, from 0 to 1: " + ", ".join(f"{name} {x:.2f}" for name, x in likest),
    ]
    for line in lines:
        render.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _text(value: Any) -> str:
    if isinstance(value, bool | None):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
