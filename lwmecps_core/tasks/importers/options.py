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
    """Only invocations by this trigger (such as http or queue), all if none is named; may be repeated."""


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


def check(options: object) -> None:
    """Raise `InvalidInput` for what no source makes right, so that it is said before a long file is read."""
    for name in ("step", "interval", "request_interval"):
        if text := getattr(options, name, None):
            seconds(text, f"--{name.replace('_', '-')}")
    for text in getattr(options, "at", ()):
        if not all(text.rpartition("=")):
            raise InvalidInput("command line", [Violation("--at", f"{text!r} is no SERIES=NODE")])
    if text := getattr(options, "delimiter", ""):
        delimiter(text)
    if isinstance(options, CsvOptions) and (options.time_format or options.timezone):
        from lwmecps_core.tasks.importers import times  # what reads them is compiled

        times.reader(options.time_format or "iso", options.timezone)


def delimiter(text: str) -> str:
    """What separates fields: one plain character, or a tab, written as a backslash and a t."""
    found = "\t" if text == "\\t" else text
    if len(found) != 1 or ord(found) > 127 or found in '"\n\r':
        raise InvalidInput("command line", [Violation("--delimiter", f"{text!r} is not one plain character, or \\t")])
    return found


@config
class PlacesOptions:
    """What task places become."""

    name: Name | None = None
    """The task's name; that of the file if none is given."""
    env_id: EnvId | None = None
    """Environment version; that of `--cluster`, or lwmecps-v3."""


@config
class Distance:
    """How long light takes: the source has places, and no latency."""

    km_per_ms: Annotated[float, Field(gt=0)] = 200.0
    """Kilometres in a millisecond, one way: two thirds of the speed of light in fibre."""
    detour: Annotated[float, Field(ge=1)] = 1.0
    """How much longer a line is than the way as the crow flies."""
    base_ms: Annotated[float, Field(ge=0)] = 1.0
    """Round trip that any two nodes have besides."""


@config
class MatrixOptions:
    """What the numbers of a latency matrix are."""

    unit: Literal["us", "ms", "s"]
    """The unit of the numbers."""
    direction: Literal["rtt", "one-way"]
    """Whether a number is a round trip or the delay one way, from row to column."""
    source: str = ""
    """Long tables: column with the node where it was measured."""
    target: str = ""
    """Long tables: column with the node to which it was measured."""
    value: str = ""
    """Long tables: column with the latency."""
    delimiter: Annotated[str, Field(max_length=2)] = ""
    """What separates fields: one character, or \\t; a tab in .tsv files, else a comma."""
    symmetrise: Literal["mean", "max"] = "mean"
    """Which of two round trips counts that were measured from both ends."""
    only: tuple[str, ...] = ()
    """Keep only this node; may be repeated."""


@config
class EuaOptions(Distance):
    """How many sites become nodes."""

    top: Annotated[int, Field(ge=1, le=200)] | None = None
    """Keep only so many sites, those with most users nearest to them; the others' users go to the nearest of these."""
    request_interval: Duration = "10s"
    """How often a user asks, with its unit: the data has users, and no requests."""


@config
class EdgeSimPyOptions:
    """Units of a scenario, which its file doesn't have."""

    cpu_unit: Literal["cores", "millicores"]
    """The unit of cpu and cpu_demand."""
    memory_unit: Literal["MiB", "MB", "GiB", "GB"]
    """The unit of memory and memory_demand."""
    delay_unit: Literal["us", "ms", "s"]
    """The unit of delay and wireless_delay."""
    request_interval: Duration = "10s"
    """How often a user asks, with its unit."""


@config
class YafsOptions:
    """Units of a scenario, which its files don't have."""

    time_unit: Literal["us", "ms", "s"]
    """The unit of simulated time: of PR, lambda, and IPT's."""
    ram_unit: Literal["MiB", "MB", "GiB", "GB"]
    """The unit of RAM."""
    ipt_per_core: Annotated[float, Field(gt=0)]
    """Instructions that one core does in a unit of time: a node has IPT divided by this many cores."""


MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
"""Unit of time → milliseconds."""
MIB = {"MiB": 1.0, "MB": 1e6 / 2**20, "GiB": 1024.0, "GB": 1e9 / 2**20}
"""Unit of memory → MiB."""
