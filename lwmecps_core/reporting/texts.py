"""Result tables as text: the cells that every table has, and the forms in which they are written."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, isnan

from lwmecps_core.statistics import Estimate, Summary

COLUMNS = (
    "steps",
    "episode",
    "reward",
    "before",
    "latency ms",
    "p95 ms",
    "replicas",
    "SLA miss",
    "moves",
    "load corr.",
    "env steps",
    "s",
)
"""`before` is the mean reward of the episodes that the cluster had had before."""
Lines = Sequence[Sequence[str]]
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "−": "$-$",
    }
)


def cells(s: Summary) -> tuple[str, ...]:
    """The method, then a cell for each of `COLUMNS`."""
    interval95 = f" ± {s.reward_ci95:.2f}" if isfinite(s.reward_ci95) else ""
    return (
        s.method,
        str(s.inner_steps),
        str(s.episode),
        f"{s.reward_mean:.2f}{interval95}",
        "" if s.support_reward_mean is None else f"{s.support_reward_mean:.1f}",
        f"{s.latency_mean_ms:.0f}",
        f"{s.latency_p95_ms:.0f}",
        f"{s.replicas_mean:.1f}",
        f"{100 * s.sla_miss_share:.1f} %",
        f"{s.moves_mean:.2f}",
        f"{s.load_correlation:.2f}",
        f"{s.env_steps:,}",
        f"{s.wall_s:.2f}",
    )


def signed(difference: Estimate) -> str:
    """A paired difference; a star where its interval excludes 0. Empty where there was no pair."""
    if isnan(difference.mean):
        return ""
    star = "*" if difference.excludes_zero else " "
    ci95 = f" ± {difference.ci95:.2f}" if isfinite(difference.ci95) else ""
    return f"{difference.mean:+.2f}{ci95}{star if ci95 else ' '}"


def plain(header: Sequence[str], lines: Lines) -> str:
    """Columns of equal width, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))

    def line(texts: Sequence[str]) -> str:
        first, *others = (t.rjust(w) if i else t.ljust(w) for i, (t, w) in enumerate(zip(texts, widths, strict=True)))
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(header), rule, *map(line, lines)])


def markdown(header: Sequence[str], lines: Lines) -> str:
    """A table in Markdown."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(
        "| " + " | ".join(t.strip().replace("|", r"\|") for t in line) + " |" for line in (header, rule, *lines)
    )


def latex(header: Sequence[str], lines: Lines) -> str:
    """A `tabular` for the package booktabs."""

    def line(texts: Iterable[str]) -> str:
        return " & ".join(t.strip().translate(_LATEX) for t in texts) + r" \\"

    body = [r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule", line(header), r"\midrule"]
    return "\n".join([*body, *map(line, lines), r"\bottomrule", r"\end{tabular}"])


def hypertext(header: Sequence[str], lines: Lines) -> str:
    """A `table` of HTML."""
    head = "".join(f"<th>{html.escape(t)}</th>" for t in header)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(t)}</td>" for t in line) + "</tr>" for line in lines)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


FORMS: Mapping[str, Callable[[Sequence[str], Lines], str]] = {
    "text": plain,
    "markdown": markdown,
    "latex": latex,
    "html": hypertext,
}
"""By name of a form: what writes a header and lines in it."""
