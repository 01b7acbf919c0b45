"""The autoscaler's decisions as kube-controller-manager's log tells them at `--v=4`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_LINE = re.compile(r"^[IE](\d{4} \d\d:\d\d:\d\d\.\d{6}) +\d+ horizontal\.go:\d+\] (.*)$")
_PROPOSED = re.compile(r"proposing (\d+) desired replicas \(based on (\w+) .* for Deployment/\w+/([\w-]+)$")
_SCALED = re.compile(r"Successful rescale of ([\w-]+), old size: (\d+), new size: (\d+), reason: (.*)$")
_KEPT = re.compile(r"decided not to scale Deployment/\w+/([\w-]+) to (\d+) ")
_FAILED = re.compile(r"failed to compute desired number of replicas .* for Deployment/\w+/([\w-]+): (.*)$")


@dataclass(frozen=True)
class Decided:
    """One sync's end; `replicas` is None where it failed, and `before` is known only where it scaled."""

    at_s: float
    replicas: int | None
    before: int | None
    proposal: int | None
    """The highest of the metrics' proposals."""
    note: str


def decisions(log: str, name: str) -> list[Decided]:
    """Those about one Deployment, in order; `at_s` is when its metrics' proposal was written down, or the end."""
    found: list[Decided] = []
    proposed: tuple[float, int] | None = None
    for line in log.splitlines():
        if not (head := _LINE.match(line)):
            continue
        at_s, text = _unix(head[1]), head[2]
        if (m := _PROPOSED.match(text)) and m[3] == name:
            proposed = (at_s, int(m[1]))
            continue
        ending: tuple[int | None, int | None, str]
        if (m := _SCALED.match(text)) and m[1] == name:
            ending = (int(m[3]), int(m[2]), m[4])
        elif (m := _KEPT.match(text)) and m[1] == name:
            ending = (int(m[2]), None, "")
        elif (m := _FAILED.match(text)) and m[1] == name:
            ending = (None, None, m[2])
        else:
            continue
        when_s, proposal = proposed or (at_s, None)
        found.append(Decided(when_s, ending[0], ending[1], proposal, ending[2]))
        proposed = None
    return found


def joined(seen: Sequence[dict[str, Any]], found: Sequence[Decided]) -> list[dict[str, Any]]:
    """What was seen with what was decided, one entry for each decision up to the last that was seen.

    A decision without a question to the metrics API has no `pods`: there the controller looked at nothing but the
    replicas, which are those that it names.
    """
    syncs: list[dict[str, Any]] = []
    left = list(seen)
    for decision in found:
        if not left:
            break
        asked = left[0]["at_s"] <= decision.at_s
        shown = left.pop(0) if asked else {"current": decision.before if decision.before is not None else 0}
        syncs.append(
            {
                "at_s": decision.at_s,
                "current": shown["current"],
                "proposal": decision.proposal,
                "replicas": decision.replicas,
                **({"note": decision.note} if decision.note else {}),
                "pods": shown.get("pods"),
                **({"down": True} if shown.get("down") else {}),
            }
        )
    return syncs


def _unix(stamp: str) -> float:
    """Of a log line's time, which is the machine's own and has no year."""
    return datetime.strptime(f"{datetime.now().year}{stamp}", "%Y%m%d %H:%M:%S.%f").timestamp()
