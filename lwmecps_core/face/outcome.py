"""What a run in this process leaves: rows, metrics by step, a policy; as a table, a data frame and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.face.policies import ActingPolicy
from lwmecps_core.reporting import files, pictures
from lwmecps_core.reporting.pictures import Metrics, Picture
from lwmecps_core.reporting.streams import STREAM
from lwmecps_core.results import Row
from lwmecps_core.specs import TaskSpec
from lwmecps_core.statistics import Summary, summarise


@dataclass(frozen=True, repr=False)
class RunOutcome:
    """What a run has left.

    `rows` are its measurements, one per task and method; `metrics` name → (step, value); `policy` what it has learnt,
    or None; `trace` the first task's first measured episode, interval by interval, and `task` that task.
    """

    kind: str
    label: str
    rows: tuple[Row, ...] = ()
    metrics: Metrics = field(default_factory=dict)
    policy: ActingPolicy | None = None
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    task: TaskSpec | None = None

    @property
    def summaries(self) -> list[Summary]:
        """Means over tasks with 95 % intervals, one per method, number of inner steps and episode."""
        return summarise(self.rows)

    def frame(self) -> Any:
        """The rows as a pandas `DataFrame`, or, of a run that measured nothing, its metrics by step."""
        if self.rows:
            return files.frame(self.rows)
        files.needed("pandas")
        import pandas  # an extra, and slow to import

        series = {name: pandas.Series(dict(points)) for name, points in self.metrics.items()}
        return pandas.DataFrame(series).rename_axis("step")

    def table(self, form: str = "text") -> str:
        """The means, or of a stream of clusters its matrix, as a table: `text`, `markdown`, `latex` or `html`."""
        return files.table(self.rows, form, stream=self.kind == STREAM)

    def plot(self, what: str = "") -> Picture:
        """A picture: `curves` (metrics by step), `adaptation`, `rewards`, `stream` or `day` (the episode of `trace`).

        By default that which says most about a run of its kind. Raises `InvalidInput` for what the run has not left.
        """
        left = {
            "curves": bool(self.metrics),
            "adaptation": bool(self.rows),
            "rewards": bool(self.rows),
            "stream": self.kind == STREAM,
            "day": bool(self.trace) and self.task is not None,
        }
        usual = {"adapt": "adaptation", "evaluate": "rewards", STREAM: "stream"}.get(self.kind, "curves")
        if not left.get(what or usual):
            has = ", ".join(name for name, there in left.items() if there)
            raise InvalidInput("plot", [Violation("what", f"{what!r} is none of what this run has left: {has}")])
        match what or usual:
            case "adaptation":
                return pictures.adaptation(self.rows)
            case "rewards":
                return pictures.rewards(self.rows)
            case "stream":
                return pictures.stream({self.label: self.rows})
            case "day" if self.task is not None:
                return pictures.day(self.task.name, self.task, {self.label: self.trace})
        return pictures.curves({self.label: self.metrics})

    def save(self, path: str | Path) -> Path:
        """Write the rows; the ending says how: .csv, .json, .parquet, .tex (means), .md (means)."""
        path = Path(path)
        files.write_rows(self.rows, path)
        return path

    def __repr__(self) -> str:
        steps = max((points[-1][0] for points in self.metrics.values()), default=0)
        head = f"<{self.kind} {self.label}: {steps} steps, {len(self.rows)} rows>"
        return f"{head}\n{self.table()}" if self.rows else head

    def _repr_html_(self) -> str:
        return self.table("html") if self.rows else f"<pre>{repr(self).replace('<', '&lt;')}</pre>"
