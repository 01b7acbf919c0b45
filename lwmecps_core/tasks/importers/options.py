"""What has to be said about a source, because no file says it."""

from typing import Annotated, Literal

from pydantic import Field

from lwmecps_core.config import config
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import EnvId, Name, Resample
from lwmecps_core.tasks.quantities import TIME, Unit, amount

LoadUnit = Literal["rps", "requests", "users"]
LOAD_UNITS: dict[LoadUnit, str] = {
    "rps": "requests per second",
    "requests": "requests in a step",
    "users": "users who are there",
}
Gaps = Literal["refuse", "zero", "last", "linear"]
Duplicates = Literal["refuse", "sum", "mean", "max", "last"]
Align = Literal["refuse", "nearest", "floor"]
Duration = Annotated[str, Field(min_length=1)]
SECONDS = Unit("time", TIME, 1.0, "60s, 250ms or 5min")


@config
class Steps:
    """What becomes of a recording's times."""

    gaps: Gaps = "refuse"
    """Steps without a value: zero, the value before (last), on a line between its neighbours (linear)."""
    duplicates: Duplicates = "refuse"
    """Several values of one series in one step."""
    align: Align = "refuse"
    """Times that are no whole number of steps after the first: to the nearest step, or to the one that they lie in."""


@config
class CsvOptions(Steps):
    """How a table of load is read: long (`value`) or wide (one column per node)."""

    unit: LoadUnit
    """What the numbers are: requests per second, requests in a step, or users who are there."""
    step: Duration
    """How long a step lasts, with its unit: 60s, 5min."""
    time: str = ""
    """Column with the time; without one, rows of a wide table are steps."""
    time_format: str = ""
    """unix-s, unix-ms, unix-us, unix-ns, iso, steps (their numbers), or a format of strptime such as %d/%m/%Y %H:%M."""
    timezone: str = ""
    """Zone of times that name none, such as UTC or Europe/Berlin."""
    value: str = ""
    """Long tables: column with the numbers."""
    node: str = ""
    """Long tables: column with the node where the users are."""
    deployment: str = ""
    """Long tables: column with the deployment that they ask."""
    columns: tuple[str, ...] = ()
    """Wide tables: the columns of nodes, each repeated as an option of its own; all but the time if none is named."""
    delimiter: Annotated[str, Field(min_length=1, max_length=2)] = ","
    """What separates fields: one character, or \\t."""
    request_interval: Duration | None = None
    """How often a user asks, with its unit; needed for users, 1s otherwise."""


@config
class PrometheusOptions(Steps):
    """What the series of a range query are."""

    unit: LoadUnit
    """What the numbers are: requests per second, requests in a step, or users who are there."""
    step: Duration
    """The query's step, with its unit: 60s."""
    node: str = ""
    """Label with the node where the users are."""
    deployment: str = ""
    """Label with the deployment that they ask."""
    request_interval: Duration | None = None
    """How often a user asks, with its unit; needed for users, 1s otherwise."""


@config
class AzureOptions:
    """What becomes a series."""

    group: Literal["function", "app", "owner"] = "app"
    """What is one series: a function, all functions of an application, or of an owner."""
    trigger: tuple[str, ...] = ()
    """Only invocations by this trigger (http, queue, …), all if none is named; may be repeated."""


@config
class AlibabaOptions:
    """What is missing in call rates that were published normalised."""

    calls_per_s: Annotated[float, Field(gt=0)]
    """Calls per second that a rate of 1 stands for: the data is max–min normalised, and doesn't say."""
    calls: tuple[Literal["providerrpc", "http", "consumermq"], ...] = ("providerrpc", "http")
    """Kinds of calls that count as requests; may be repeated."""
    gaps: Literal["refuse", "zero"] = "zero"
    """Steps in which a microservice has no row."""


@config
class LoadOptions:
    """What task a load becomes."""

    name: Name | None = None
    """The task's name; that of the file if none is given."""
    env_id: EnvId | None = None
    """Environment version; that of `--cluster`, or lwmecps-v3."""
    at: tuple[str, ...] = ()
    """SERIES=NODE: where a series goes whose name is that of no node; may be repeated."""
    idle_nodes: bool = False
    """Whether nodes of `--cluster` may be without load."""
    top: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Keep only so many of the busiest series; how much is dropped is said."""
    stations: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Deal all series to so many stations, evenly."""
    interval: Duration | None = None
    """Length of a control interval, with its unit; that of `--cluster`, or 10s."""
    horizon: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Control intervals in an episode; those of `--cluster`, or 120."""
    speedup: Annotated[float, Field(gt=0)] = 1.0
    """Seconds of the recording that pass in one second of the environment."""
    resample: Resample = "mean"
    """What a control interval takes of the steps that it covers."""
    family: (
        Literal["kubernetes_scaling", "load_balancing", "resource_optimization", "mec_city", "load_profile"] | None
    ) = None
    """Write a distribution of this family under the load, in place of one task."""


def seconds(text: str, option: str) -> float:
    """A length of time with its unit; raises `InvalidInput` without one: units are asked for, never assumed."""
    found = None if text.strip().replace(".", "", 1).isdigit() else amount(text, SECONDS)
    if found is None or not found > 0.0:
        reason = f"{text!r} is no length of time with a unit: write, for example, {SECONDS.example}"
        raise InvalidInput("command line", [Violation(option, reason)])
    return found
