"""The table of streams in `docs/learners.md`, put between its marks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.learners.streams import KEEPING, NO_STEP, NOTHING, StreamCell, StreamOutcomes
from bench.marks import between
from lwmecps_core.forgetting import measures
from lwmecps_core.statistics import interval

MARK = "streams"
FEWEST = 3
"""Seeds of which there are intervals."""
MEASURES = {
    "average_reward": "average reward",
    "learnt_reward": "right after its turn",
    "backward_transfer": "backward transfer",
    "forgetting": "forgetting",
    "forward_transfer": "forward transfer",
}


def write(cells: Sequence[StreamCell], outcomes: StreamOutcomes, page: Path) -> None:
    """Put what was found into the page."""
    done = [outcomes[cell.key] for cell in cells if cell.key in outcomes]
    text = [f"Seeds done, each with a policy and a stream of its own: {len(done)} of {len(cells)}.\n"]
    rs = {name: [np.array(s.r) for outcome in done for s in outcome.streams if s.keeping == name] for name in KEEPING}
    if done:
        text += table({name: r for name, r in rs.items() if r})
        cpu = {name: [s.cpu_s for outcome in done for s in outcome.streams if s.keeping == name] for name in rs}
        text.append(f"\nCPU time of a stream: {', '.join(f'{n} {np.mean(s):.0f} s' for n, s in cpu.items() if s)}.")
    page.write_text(between(page.read_text(), MARK, "\n".join(text) + "\n"))


def table(rs: dict[str, list[NDArray[np.float64]]]) -> Iterator[str]:
    """One row for each way of keeping, at the end of the stream."""
    found = {name: [measures(r, len(r) - 1) for r in each] for name, each in rs.items()}
    yield "| kept | start, on all | " + " | ".join(MEASURES.values()) + " | average minus no step | minus nothing |"
    yield "| --- | ---: |" + " ---: |" * (len(MEASURES) + 2)
    average = {name: np.array([m["average_reward"] for m in each]) for name, each in found.items()}
    for name, each in found.items():
        cells = [_cell(np.array([r[0].mean() for r in rs[name]]))]
        cells += [_cell(np.array([m[measure] for m in each])) for measure in MEASURES]
        for base in (NO_STEP, NOTHING):
            beside = name != base and base in average
            cells.append("" if not beside else _cell(average[name] - average[base], "+"))
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(values: NDArray[np.float64], sign: str = "") -> str:
    """Mean over seeds ± the half-width of its 95 % interval, a star where a difference's excludes 0; of too few seeds
    each by itself.
    """
    if len(values) < FEWEST:
        return ", ".join(f"{value:{sign}.2f}" for value in values)
    found = interval(values)
    return f"{found.mean:{sign}.2f} ± {found.ci95:.2f}{'*' * (bool(sign) and found.excludes_zero)}"
