"""The decision of kube-controller-manager's Horizontal Pod Autoscaler, as a function of plain values.

As of 1.20.2, for a CPU target in per cent of the request and without `behavior` (autoscaling/v1). Read in
`pkg/controller/podautoscaler/replica_calculator.go` and `horizontal.go`, and held against the running controller by
recorded syncs: `docs/hpa.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from lwmecps_core.config import config
from lwmecps_core.specs import NonNegative, Positive

Count: TypeAlias = Annotated[int, Field(ge=0)]
Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


@config
class Controller:
    """The controller's flags, with their defaults, and what an autoscaler's own object says."""

    target_percent: Annotated[int, Field(ge=1)] = 80
    minimum: Annotated[int, Field(ge=1)] = 1
    maximum: Annotated[int, Field(ge=1)] = 10
    sync_s: Positive = 15.0
    """`--horizontal-pod-autoscaler-sync-period`."""
    tolerance: NonNegative = 0.1
    """`--horizontal-pod-autoscaler-tolerance`: a ratio this close to 1 is left alone."""
    stabilisation_s: NonNegative = 300.0
    """`--horizontal-pod-autoscaler-downscale-stabilization`."""
    initialisation_s: NonNegative = 300.0
    """`--horizontal-pod-autoscaler-cpu-initialization-period`."""
    readiness_delay_s: NonNegative = 30.0
    """`--horizontal-pod-autoscaler-initial-readiness-delay`."""


@dataclass(frozen=True, slots=True)
class PodSeen:
    """What the controller sees of one pod; times are seconds of any one clock, None where the API has none."""

    request_millicores: int
    usage_millicores: int | None
    """None: the metrics API does not list the pod."""
    phase: Phase = "Running"
    ending: bool = False
    """Deleted, and still there."""
    ready: bool | None = True
    """The condition Ready; None before there is one."""
    started_s: float | None = 0.0
    changed_s: float = 0.0
    """When Ready last changed."""
    measured_s: float = 0.0
    sample_s: float = 0.0
    """The end and the length of the time that the usage is the mean of."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What was wanted at a sync, before the window and the limits."""

    at_s: float
    replicas: int


Recommendations = tuple[Recommendation, ...]
UNSEEN: Recommendations = ()
"""Of an autoscaler that was just created."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a sync comes to: the replicas asked for, and what the next sync has to be told."""

    replicas: int
    proposal: int | None
    """What the metrics ask for; None where they were not looked at, or told nothing."""
    recommendations: Recommendations


def decide(
    recommendations: Recommendations, proposals: Sequence[int | None], current: int, settings: Controller, now_s: float
) -> Decision:
    """One sync of the autoscaler: `proposals` are those of its metrics (`proposal`), None where one failed.

    The highest proposal counts, and those that failed don't hold a scale-down back. Nothing changes where all failed.
    `current` are the replicas that are asked for now; at 0 the autoscaler is switched off, outside the bounds it goes
    to the nearer one without looking at metrics or limits.
    """
    if not recommendations:
        recommendations = (Recommendation(now_s, current),)
    if current == 0:
        return Decision(0, None, recommendations)
    if not settings.minimum <= current <= settings.maximum:
        bound = settings.maximum if current > settings.maximum else settings.minimum
        return Decision(bound, None, recommendations)
    known = [p for p in proposals if p is not None]
    if not known:
        return Decision(current, None, recommendations)
    wanted = max(known)
    kept = tuple(r for r in recommendations if r.at_s >= now_s - settings.stabilisation_s)
    steady = max([wanted, *(r.replicas for r in kept)])
    allowed = min(settings.maximum, scale_up_limit(current))
    replicas = min(max(steady, settings.minimum), allowed)
    return Decision(replicas, wanted, (*kept, Recommendation(now_s, wanted)))


def scale_up_limit(current: int) -> int:
    """The most replicas that one sync may ask for."""
    return max(2 * current, 4)


def proposal(pods: Sequence[PodSeen], current: int, settings: Controller, now_s: float) -> int | None:
    """The replicas that a CPU target asks for; None where no usage is known of any pod that counts.

    Pods that are Pending or not ready are left out, and taken for idle on the way up. Running pods without usage are
    taken for idle on the way up and for using all of their request on the way down. Such guesses must not turn the
    direction round, nor carry the answer past the current replicas. Pods that are ending or have failed don't count,
    nor does the usage that is still known of them.
    """
    groups = [_group(pod, settings, now_s) for pod in pods]
    idle = [pod.request_millicores for pod, group in zip(pods, groups, strict=True) if group == "idle"]
    unknown = [pod.request_millicores for pod, group in zip(pods, groups, strict=True) if group == "unknown"]
    known = [
        (pod.usage_millicores, pod.request_millicores)
        for pod, group in zip(pods, groups, strict=True)
        if group == "counted" and pod.usage_millicores is not None
    ]
    used, requested = sum(u for u, _ in known), sum(r for _, r in known)
    if requested == 0:
        return None
    ratio = _ratio(used, requested, settings)
    idle = idle if ratio > 1.0 else []
    if not idle and not unknown:
        return current if abs(1.0 - ratio) <= settings.tolerance else ceil(ratio * groups.count("counted"))
    # At a ratio of exactly 1 the pods without usage stay unknown.
    unknown = unknown if ratio != 1.0 else []
    guessed = sum(unknown) if ratio < 1.0 else 0
    again = _ratio(used + guessed, requested + sum(idle) + sum(unknown), settings)
    turned = (ratio - 1.0) * (again - 1.0) < 0
    if abs(1.0 - again) <= settings.tolerance or turned:
        return current
    wanted = ceil(again * (len(known) + len(idle) + len(unknown)))
    passed = wanted > current if again < 1.0 else wanted < current
    return current if passed else wanted


def _ratio(used_millicores: int, requested_millicores: int, settings: Controller) -> float:
    """Usage over target; usage is in whole per cent of the requests, cut off."""
    return (used_millicores * 100 // requested_millicores) / settings.target_percent


def _group(pod: PodSeen, settings: Controller, now_s: float) -> Literal["gone", "idle", "unknown", "counted"]:
    """What a pod is to the controller."""
    if pod.ending or pod.phase == "Failed":
        return "gone"
    if pod.phase == "Pending":
        return "idle"
    if pod.usage_millicores is None:
        return "unknown"
    if pod.ready is None or pod.started_s is None:
        return "idle"
    if pod.started_s + settings.initialisation_s > now_s:
        # While it may still be initialising, a sample counts that lies in the time since readiness last changed.
        fresh = pod.ready and pod.measured_s >= pod.changed_s + pod.sample_s
        return "counted" if fresh else "idle"
    never_ready = not pod.ready and pod.changed_s < pod.started_s + settings.readiness_delay_s
    return "idle" if never_ready else "counted"
