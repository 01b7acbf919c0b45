"""Several outcomes side by side: a table with paired differences, and a picture."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.face.outcome import RunOutcome
from lwmecps_core.reporting import files, pictures
from lwmecps_core.reporting.pictures import Picture
from lwmecps_core.reporting.texts import COLUMNS, FORMS, cells, signed
from lwmecps_core.results import Row
from lwmecps_core.statistics import Key, Summary, paired_difference, summarise


@dataclass(frozen=True, repr=False)
class SideBySide:
    """Outcomes that were measured on the same tasks; `base` is the method that the others are compared with."""

    rows: tuple[Row, ...]
    base: Key

    @property
    def summaries(self) -> list[Summary]:
        """Means over tasks, the best first."""
        return sorted(summarise(self.rows), key=lambda s: -s.reward_mean)

    def frame(self) -> Any:
        """All rows as a pandas `DataFrame`."""
        return files.frame(self.rows)

    def table(self, form: str = "text") -> str:
        """Means with 95 % intervals, and what each method earns beside the base, paired over tasks (a star: the
        interval excludes 0); `form` is `text`, `markdown`, `latex` or `html`.
        """
        if form not in FORMS:
            raise InvalidInput("table", [Violation("form", f"{form!r} is none of {', '.join(FORMS)}")])
        lines = []
        for s in self.summaries:
            key = (s.method, s.inner_steps, s.episode)
            more = "" if key == self.base else signed(paired_difference(self.rows, key, self.base))
            own = cells(s)
            lines.append((*own[:4], more, *own[4:]))
        return FORMS[form](("method", *COLUMNS[:3], f"− {self.base[0]}", *COLUMNS[3:]), lines)

    def plot(self) -> Picture:
        """Rewards with their intervals, the best at the top."""
        return pictures.rewards(self.rows)

    def save(self, path: str | Path) -> Path:
        """Write all rows; the ending says how: .csv, .json, .parquet, .tex (means), .md (means)."""
        path = Path(path)
        files.write_rows(self.rows, path)
        return path

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        return self.table("html")


def compare(*outcomes: RunOutcome, base: str = "", **named: RunOutcome) -> SideBySide:
    """Outcomes side by side: table and picture of several evaluations or adaptations on the same tasks.

    `named` outcomes are called by their keywords in place of their labels. `base` is the method that differences are
    taken from (empty: the first one). Raises `InvalidInput` for outcomes without rows, of one name, or of different
    tasks.

    >>> import lwmecps_core
    >>> hpa, rule = (lwmecps_core.evaluate(b, "examples/city.yaml", num_tasks=4) for b in ("hpa", "rate_rule"))
    >>> [s.method for s in lwmecps_core.compare(hpa, rule).summaries]
    ['rate_rule', 'hpa']
    """
    every = [(x.label if isinstance(x, RunOutcome) else "", x) for x in outcomes] + list(named.items())
    rows: list[Row] = []
    for i, (name, one) in enumerate(every):
        _check(i, name, one, every)
        rows += [replace(row, method=name if row.method == one.label else row.method) for row in one.rows]
    if not rows:
        raise InvalidInput("compare", [Violation(".", "give at least one outcome")])
    keys = [(s.method, s.inner_steps, s.episode) for s in summarise(rows)]
    chosen = next((key for key in keys if key[0] == (base or keys[0][0])), None)
    if chosen is None:
        names = ", ".join(dict.fromkeys(key[0] for key in keys))
        raise InvalidInput("compare", [Violation("base", f"{base!r} is none of {names}")])
    return SideBySide(tuple(rows), chosen)


def _check(i: int, name: str, one: Any, every: list[tuple[str, Any]]) -> None:
    where = f"outcomes[{i}]"
    if not isinstance(one, RunOutcome):
        raise InvalidInput("compare", [Violation(where, f"must be an outcome of a run, not {type(one).__name__}")])
    if not one.rows:
        raise InvalidInput("compare", [Violation(where, f"{name} has measured nothing: evaluate its policy")])
    if name in [other for other, _ in every[:i]]:
        reason = f"{name} is there already: call it otherwise, compare(first=…, second=…)"
        raise InvalidInput("compare", [Violation(where, reason)])
    tasks, others = ({row.task for row in x.rows} for x in (one, every[0][1]))
    if tasks != others:
        reason = f"{name} was measured on {len(tasks)} tasks that are not those of {every[0][0]} ({len(others)})"
        raise InvalidInput("compare", [Violation(where, reason)])
