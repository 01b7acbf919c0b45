"""One HTML file that says all about some results, and needs nothing beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from lwmecps_core.reporting import pictures
from lwmecps_core.reporting.files import table
from lwmecps_core.reporting.pictures import Metrics
from lwmecps_core.reporting.streams import MEANING, STREAM, clusters_of, stream_table
from lwmecps_core.reporting.texts import hypertext
from lwmecps_core.results import Row

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8885; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.5rem 0; background: #fff; padding: .5rem; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True)
class Reported:
    """What a page says of one run: facts (name → text) and what it has measured."""

    label: str
    facts: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    metrics: Metrics = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        """Whether it met clusters one after another, and has measured them."""
        return self.facts.get("kind") == STREAM and bool(self.rows)


def page(title: str, runs: Sequence[Reported]) -> str:
    """The page: what the runs are, means over tasks with intervals, and pictures as SVG."""
    rows = [row for run in runs for row in run.rows if not run.stream]
    names = list(dict.fromkeys(name for run in runs for name in run.facts))
    facts = hypertext(("run", *names), [(run.label, *(run.facts.get(n, "") for n in names)) for run in runs])
    parts = [f"<h1>{escape(title)}</h1>", "<h2>Runs</h2>", facts]
    if rows:
        parts += ["<h2>Results</h2>", f"<p>{_about(rows)}</p>", table(rows, "html"), _figure(pictures.rewards(rows))]
    if len({row.inner_steps for row in rows}) > 1:
        parts += ["<h2>Adaptation</h2>", _figure(pictures.adaptation(rows))]
    for run in runs:
        if run.stream:
            about = f"{MEANING}: {clusters_of(run.rows)}."
            parts += [f"<h2>Clusters one after another: {escape(run.label)}</h2>", f"<p>{escape(about)}</p>"]
            parts += [hypertext(*stream_table(run.rows)), _figure(pictures.stream({run.label: run.rows}))]
    if measured := {run.label: run.metrics for run in runs if run.metrics}:
        parts += ["<h2>Metrics by step</h2>", _figure(pictures.curves(measured))]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    top = f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}<style>{STYLE}</style></head>'
    return f"{top}\n<body>\n{body}\n</body>\n</html>\n"


def _about(rows: Sequence[Row]) -> str:
    return f"{len({row.task for row in rows})} tasks; means over tasks, ± half the width of the 95 % interval."


def _figure(picture: pictures.Picture) -> str:
    return f"<figure>{picture.svg()}</figure>"
