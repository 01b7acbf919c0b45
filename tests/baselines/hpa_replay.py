"""Recorded syncs of a real autoscaler (`scripts.kube.hpa_traces`), put to the port."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lwmecps_core.baselines.hpa_controller import UNSEEN, Controller, PodSeen, decide, proposal


@dataclass(frozen=True)
class Replayed:
    """One sync: (proposal, replicas) of the port and of the controller."""

    scenario: str
    at_s: float
    ours: tuple[int | None, int]
    theirs: tuple[int | None, int]


def replayed(traces: dict[str, Any], **changed: Any) -> Iterator[Replayed]:
    """Every sync of every scenario; `changed` are settings of the port that shall not be the recording's."""
    syncs = traces["controller"]["sync_s"] / 15
    for name, entry in traces["scenarios"].items():
        settings = Controller(
            **{
                "target_percent": entry["target"],
                "minimum": entry["minimum"],
                "maximum": entry["maximum"],
                "sync_s": 15 * syncs,
                "stabilisation_s": 300 * syncs,
                "initialisation_s": 300 * syncs,
                "readiness_delay_s": 30 * syncs,
                **changed,
            }
        )
        recommendations = UNSEEN
        for sync in entry["syncs"]:
            current, at_s, metrics = sync["current"], sync["at_s"], []
            if sync["pods"] is not None:
                pods = [pod for group in sync["pods"] for pod in [_pod(group)] * group["count"]]
                metrics = [None if sync.get("down") else proposal(pods, current, settings, at_s)]
                if entry["memory"] == "missing":
                    metrics.append(None)
                elif entry["memory"] == "low":
                    metrics.append(proposal([_memory(pod) for pod in pods], current, settings, at_s))
            decision = decide(recommendations, metrics, current, settings, at_s)
            recommendations = decision.recommendations
            # Where the controller failed it left the replicas as they were.
            theirs = current if sync["replicas"] is None else sync["replicas"]
            yield Replayed(name, at_s, (decision.proposal, decision.replicas), (sync["proposal"], theirs))


def _pod(group: dict[str, Any]) -> PodSeen:
    return PodSeen(
        request_millicores=group["request"],
        usage_millicores=group["usage"],
        phase=group["phase"],
        ending=group["ending"],
        ready=group["ready"],
        started_s=group["started_s"],
        changed_s=group["changed_s"] or 0.0,
        measured_s=group["measured_s"] or 0.0,
        sample_s=group["sample_s"] or 0.0,
    )


def _memory(pod: PodSeen) -> PodSeen:
    """The pod by the second metric: 1 of 10 MiB, and readiness is not asked for."""
    long_ago = -1e9
    used = None if pod.usage_millicores is None else 1
    return PodSeen(10, used, pod.phase, pod.ending, True, long_ago, long_ago)
