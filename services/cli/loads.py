"""What a task file leaves open, and what its load needs: said before anything is registered or run."""

from pathlib import Path

from rich.markup import escape

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.sim.demand import Demand, demand, number, scaled
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.files import Item, TaskFile, read_task_file
from services.cli.render import errors, table

SHOWN = 20
"""Stations and deployments that are listed, the busiest first."""


def checked(file: TaskFile, source: str, scale_to: float | None = None, strict: bool = False) -> list[Item]:
    """The items of a file, their load scaled if asked for; says what was assumed, what load comes and what it needs.

    Raises `InvalidInput` for a distribution that is to be scaled, and, if `strict`, for load that can't be served.
    """
    tell_notes(file.notes)
    items = []
    for item in file.items:
        made = _scaled(item, source, scale_to) if scale_to is not None else item
        items.append(made)
        task = draw(made, 0) if isinstance(made, TaskDistribution) else made
        if isinstance(made, TaskSpec) or made.recorded_users:
            found = demand(task)
            _tell_demand(task.name, found)
            if strict and found.warnings:
                raise InvalidInput(source, [Violation("workload", warning) for warning in found.warnings])
    return items


def only(path: str) -> Item:
    """The one task or distribution in a file; says what was assumed."""
    file = read_task_file(Path(path))
    tell_notes(file.notes)
    return file.only(path)


def tell_notes(notes: tuple[str, ...]) -> None:
    """Write what was assumed to standard error."""
    for note in notes:
        errors.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)


def _scaled(item: Item, source: str, share: float) -> TaskSpec:
    if isinstance(item, TaskDistribution):
        reason = "a distribution draws what requests cost to fit its load: only a task's load can be scaled"
        raise InvalidInput(source, [Violation("--scale-to", reason)])
    made, factor = scaled(item, share)
    tell_notes(
        (f"all users of {item.name} times {factor:.4g}: the busiest needs {share:g} of what serves it at the peak",)
    )
    return made


def _tell_demand(name: str, found: Demand) -> None:
    busiest = sorted(found.stations, key=lambda station: -station.peak)[:SHOWN]
    rows = [(s.name, number(s.mean), number(s.peak)) for s in busiest]
    errors.print(f"requests per second of {escape(name)}, and the pods that serve them", highlight=False)
    errors.print(table("", ("node", "mean", "peak"), rows))
    most = sorted(found.services, key=lambda service: -service.peak)[:SHOWN]
    needs = [(s.name, number(s.peak), f"{s.needed:,}", f"{s.fit:,}") for s in most]
    errors.print(table("", ("deployment", "peak", "pods needed", "pods that fit"), needs))
    if len(found.stations) > SHOWN:
        errors.print(f"the {SHOWN} busiest of {len(found.stations)} nodes", highlight=False)
    for warning in found.warnings:
        errors.print(f"[yellow]warning: {escape(warning)}", highlight=False, soft_wrap=True)
