"""What the autoscaler is led through when its decisions are recorded: one Deployment and one autoscaler each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

Deed = tuple[str, int]
"""What is done to the Deployment's pods, and to how many (or, for `wait`, how many syncs pass):

unready, ready: newest ready pods turn unready, and the oldest of those back; end: the newest pods are deleted and stay
Terminating; fail: the newest pods' phase becomes Failed; stray: pods that the selector finds and the Deployment does
not own are added; scale: somebody else sets the replicas; wait.
"""


@dataclass(frozen=True)
class Shown:
    """What one sync sees. Usage in millicores: `each` pod's, or `load`, shared by the ready pods."""

    each: int | None = None
    load: int | None = None
    times: int = 1
    without: int = 0
    """So many of the oldest ready pods have no metric."""
    unready_measured: bool = True
    """Whether Running pods that are not ready have a metric."""
    ending: int | None = None
    """Usage of Terminating pods, where it isn't that of the others."""
    stale: bool = False
    """Metrics were taken long before."""
    down: bool = False
    """The metrics API answers 503."""
    before: tuple[Deed, ...] = ()
    """Done after the sync before."""


@dataclass(frozen=True)
class Scenario:
    """A Deployment of pods that request `request` millicores, its autoscaler, and what happens to them."""

    name: str
    steps: tuple[Shown, ...]
    replicas: int = 4
    request: int = 100
    target: int = 80
    minimum: int = 1
    maximum: int = 20
    starts_syncs: float | None = None
    """How many syncs a pod is Pending for, when that is longer than a moment."""
    never_ready: bool = False
    """New pods run and don't get ready."""
    memory: str | None = None
    """A second metric: `missing` (no usage known, it fails) or `low` (well below its target)."""


def expanded(steps: Sequence[Shown]) -> list[Shown]:
    """One step per sync."""
    return [replace(step, times=1, before=step.before if k == 0 else ()) for step in steps for k in range(step.times)]


def _ratios(*each: int) -> tuple[Shown, ...]:
    return tuple(Shown(each=millicores) for millicores in each)


SCENARIOS = (
    # The window holds what it had at the start (8), then falls in one go.
    Scenario("idle from the start", (Shown(each=10, times=24),), replicas=8),
    Scenario("load comes and goes", (Shown(load=300, times=2), Shown(load=1200, times=4), Shown(load=240, times=24))),
    Scenario("slow ramp", tuple(Shown(load=200 + 50 * t) for t in range(20)), replicas=3),
    # Doubles from 1 to 4, then max(2 n, 4) at each sync, until the maximum.
    Scenario("limits of a step up", (Shown(each=500, times=7),), replicas=1, maximum=30),
    Scenario(
        "one spike keeps scaling up",
        (Shown(each=70), Shown(each=1000), Shown(each=30, times=25)),
        replicas=2,
        maximum=16,
    ),
    # Target 50 %: 45 … 55 is within the tolerance in the controller's own floating point, or is it?
    Scenario("edges of the tolerance at 10", _ratios(50, 54, 55, 46, 45, 44, 50), replicas=10, target=50),
    Scenario("edges of the tolerance at 80", _ratios(87, 88, 89, 80, 73, 72, 71), replicas=10),
    # 302 of 300 is 100 %: 10 pods of 8 at a target of 80 %, where 100.7 % would be 11.
    Scenario("whole per cent", _ratios(240, 302, 266, 217, 241), replicas=8, request=300),
    # 124/60 × 15 is 31, and in floating point a hair more, which without a margin is 32.
    Scenario("rounding without a margin", _ratios(60, 124, 62), replicas=15, target=60, maximum=40),
    Scenario("rounding up", _ratios(60, 30, 54, 63, 18, 36, 72, 81, 99), replicas=9, target=90, maximum=9),
    Scenario(
        "pods not ready, measured",
        (
            Shown(each=80),
            Shown(each=100, before=(("unready", 2),), times=2),
            Shown(each=95, times=2),
            # 115 × 6 / 8 is 86 % and within the tolerance: 8 stay, though 115 alone asks for 9.
            Shown(each=115, times=2),
            Shown(each=74, times=2),
            Shown(each=40, times=2),
            Shown(each=150, times=2),
            Shown(each=60, before=(("ready", 2),), times=2),
        ),
        replicas=8,
    ),
    Scenario(
        "pods not ready, not measured",
        (
            Shown(each=80),
            Shown(each=100, before=(("unready", 2),), times=2, unready_measured=False),
            Shown(each=95, times=2, unready_measured=False),
            Shown(each=40, times=3, unready_measured=False),
            Shown(each=150, times=2, unready_measured=False),
        ),
        replicas=8,
    ),
    Scenario(
        "metrics missing",
        (
            Shown(each=80),
            Shown(each=100, without=2, times=2),
            Shown(each=20, without=3, times=2),
            Shown(each=70, without=6, times=2),
            Shown(each=90, without=1, times=2),
            Shown(each=80, without=2, times=2),
            Shown(each=50, without=30),
            Shown(down=True, times=2),
            Shown(each=160, without=1, times=2),
        ),
        replicas=8,
    ),
    Scenario(
        "pods ending",
        (
            Shown(each=80),
            Shown(each=120, before=(("end", 3),), times=2),
            Shown(each=40, times=2),
            Shown(each=80, times=2),
            Shown(each=80, ending=200, times=2),
            Shown(each=80, ending=0, times=2),
            # What is guessed of one that has no usage must not ask for more than there are.
            Shown(each=64, without=1, times=2),
        ),
        replicas=6,
        maximum=8,
    ),
    Scenario(
        "pods failed",
        (Shown(each=80), Shown(each=120, before=(("fail", 2),), times=3), Shown(each=40, times=3)),
        replicas=6,
    ),
    Scenario(
        "stray pods",
        (
            Shown(each=80),
            Shown(each=80, before=(("stray", 3),)),
            # Below the target, and yet the answer is above the replicas; with a guess about one pod it is not.
            Shown(each=64, without=1, times=2),
            Shown(each=64),
            Shown(each=100),
        ),
        maximum=12,
    ),
    Scenario("pods that start slowly", (Shown(load=700, times=12),), replicas=4, starts_syncs=2.5),
    # Unready from the start: left out, after the time for initialisation too; those that were ready once are not.
    Scenario(
        "pods that never get ready",
        (
            Shown(each=100, times=3),
            Shown(each=60, times=2, before=(("ready", 3),)),
            Shown(each=60, times=17),
            Shown(each=100, times=2),
            Shown(each=40, times=2, before=(("unready", 1),)),
            Shown(each=100, times=2),
        ),
        replicas=6,
        never_ready=True,
    ),
    Scenario(
        "old pods turn unready",
        (
            Shown(each=80, times=21),
            Shown(each=100, before=(("unready", 3),), times=2),
            Shown(each=40, times=2),
            Shown(each=120, unready_measured=False, times=2),
            Shown(each=40, unready_measured=False, times=2),
        ),
        replicas=8,
        maximum=12,
    ),
    Scenario("old samples", (Shown(each=120, stale=True, times=3), Shown(each=120, times=3)), replicas=4),
    Scenario(
        "zero replicas",
        (
            Shown(each=120, times=2),
            Shown(each=120, times=2, before=(("scale", 0), ("wait", 3), ("scale", 3))),
            Shown(each=20, times=2),
        ),
        replicas=3,
    ),
    Scenario(
        "outside its bounds",
        (
            Shown(each=80, times=2),
            Shown(each=80, times=2, before=(("scale", 1),)),
            Shown(each=80, times=2, before=(("scale", 14),)),
            Shown(each=20, times=2),
        ),
        replicas=5,
        minimum=3,
        maximum=10,
    ),
    Scenario(
        "others scale, too",
        (
            Shown(each=80, times=3),
            Shown(each=80, times=3, before=(("scale", 9),)),
            Shown(each=20, times=24, before=(("scale", 2),)),
        ),
        replicas=5,
    ),
    Scenario("one metric of two fails", (Shown(each=150, times=3), Shown(each=15, times=24)), memory="missing"),
    Scenario("two metrics", (Shown(each=150, times=3), Shown(each=15, times=24)), memory="low"),
)
