"""`lwmecps population`: population-based training over runs in the services."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lwmecps_core.errors import InvalidInput, Violation
from services.cli import render
from services.cli.clients import Clients
from services.cli.files import write_whole
from services.cli.json_option import Json
from services.cli.tasks import fetch, resolve

if TYPE_CHECKING:
    from lwmecps_core.choosing.population import Generation, Population, PopulationPlan

app = typer.Typer()


@app.command()
def population(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(help="YAML or JSON file: what is looked for, members, generations.")],
    task: Annotated[list[str] | None, typer.Option(help="Task or distribution, in place of those.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="File of the generations that are over; default: PLAN, ending in .state.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a population whose best members pass weights and settings on; the same again goes on where it was."""
    # PyTorch, which checks what weights there are, takes long to import.
    from lwmecps_core.choosing import driving
    from lwmecps_core.choosing.population import PopulationPlan
    from lwmecps_core.config import parse
    from lwmecps_core.reading import read_mapping
    from services.common.remote_runs import RemoteRuns

    if state and not state.parent.is_dir():
        raise InvalidInput("options", [Violation("--state", f"there is no folder {state.parent}")])
    data = read_mapping(plan)
    asked = parse(PopulationPlan, data | ({"tasks": task} if task else {}), str(plan))
    driving.check_plan(asked, str(plan))
    kept_in = state or plan.with_suffix(".state.json")
    kept = _kept(ctx.obj, asked, kept_in, str(plan))
    runs = RemoteRuns(ctx.obj.addresses.registry, ctx.obj.addresses.learner)
    with _Bar(kept.plan, shown=not as_json) as bar:
        for generation in driving.evolve(kept.plan, runs, kept.generations, bar.told):
            kept = _with(kept, generation)
            _write(kept_in, kept)
            bar.over(len(kept.generations))
    render.print_json(_plain(kept)) if as_json else _show(kept)


def _kept(clients: Clients, asked: "PopulationPlan", path: Path, source: str) -> "Population":
    """What the file holds, which must be of this plan; where there is none, one that begins, with registered tasks."""
    from dataclasses import replace

    from lwmecps_core.choosing.population import Population
    from lwmecps_core.config import dump, parse
    from lwmecps_core.reading import read_mapping

    if not path.is_file():
        _check_measured(clients, asked, source)
        kept = Population(plan=replace(asked, tasks=tuple(resolve(clients, list(asked.tasks)))))
        _write(path, kept)
        return kept
    kept = parse(Population, read_mapping(path), str(path))
    before, now = dump(kept.plan), dump(asked)
    if differing := [name for name in now if name != "tasks" and before[name] != now[name]]:
        reason = f"is another than that of the population in {path}: name another file by --state, or remove it"
        raise InvalidInput(source, [Violation(differing[0], reason)])
    return kept


def _check_measured(clients: Clients, asked: "PopulationPlan", source: str) -> None:
    from lwmecps_core.specs import TaskDistribution

    drawn = any(isinstance(fetch(clients, task), TaskDistribution) for task in asked.tasks)
    if drawn != bool(asked.measured_tasks):
        reason = "must be above 0: tasks come from a distribution" if drawn else "must be 0: no task is a distribution"
        raise InvalidInput(source, [Violation("measured_tasks", reason)])


def _with(kept: "Population", generation: "Generation") -> "Population":
    from dataclasses import replace

    return replace(kept, generations=(*kept.generations, generation))


def _write(path: Path, kept: "Population") -> None:
    from lwmecps_core.config import dump

    write_whole(path, (json.dumps(dump(kept), indent=1) + "\n").encode())


def _plain(kept: "Population") -> dict[str, Any]:
    """All that is kept, and of the last generation who earned most, and from whom it comes."""
    from lwmecps_core.choosing.population import best_of, lineage
    from lwmecps_core.config import dump

    best = best_of(kept.generations[-1])
    member = dump(kept.generations[-1][best])
    return dump(kept) | {"best": {"member": best, **member, "lineage": lineage(kept.generations, best)}}


def _show(kept: "Population") -> None:
    """One line for each member of each generation; a star where the policy that earned most in the end comes from."""
    from lwmecps_core.choosing.population import best_of, lineage

    best, names = best_of(kept.generations[-1]), [*kept.plan.choices, *kept.plan.numbers]
    line = lineage(kept.generations, best)
    rows = [
        [
            f"{number + 1}",
            f"{i + 1}{'*' if line[number] == i else ''}",
            "" if member.parent in (None, i) else f"{member.parent + 1}",
            *(_cell(member.values[name]) for name in names),
            member.error if member.score is None else f"{member.score:.2f}",
        ]
        for number, generation in enumerate(kept.generations)
        for i, member in enumerate(generation)
    ]
    render.console.print(render.table("population", ("generation", "member", "from", *names, "reward"), rows))
    told = ", ".join(f"{name} {_cell(kept.generations[-1][best].values[name])}" for name in names)
    policy = kept.generations[-1][best].policy
    render.console.print(f"policy {policy}, of member {best + 1}: {told}", highlight=False, markup=False)
    note = "its reward is the highest of several on these tasks, and flatters: evaluate it on others"
    render.console.print(note, highlight=False)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class _Bar:
    """How far trainings are, on standard error; a context manager."""

    def __init__(self, plan: "PopulationPlan", shown: bool) -> None:
        self._plan, self._share = plan, dict[int, float]()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=render.errors, disable=not shown)
        self._task = self._progress.add_task("population", total=float(plan.members * plan.generations))

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def told(self, generation: int, member: int, news: Any) -> None:
        """A training has gone on."""
        self._share[member] = 1.0 if news.ended else news.step / max(1, news.total_steps)
        self._at(generation, f"generation {generation + 1} of {self._plan.generations}, member {member + 1}")

    def over(self, generations: int) -> None:
        """So many generations are over."""
        self._share = {}
        self._at(generations, f"{generations} of {self._plan.generations} generations are over")

    def _at(self, generation: int, text: str) -> None:
        done = generation * self._plan.members + sum(self._share.values())
        self._progress.update(self._task, completed=done, description=text)
