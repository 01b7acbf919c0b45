"""`python -m scripts.kube.hpa_traces FILE`: what a real kube-controller-manager's autoscaler saw and decided, as JSON.

Every scenario (`hpa_scenarios`) has its own Deployment and autoscaler, all at once on one control plane of their own.
What the controller saw is what our metrics server told it and the pods as the API had them at that moment; what it
decided stands in its log (`--v=4`). It takes nine minutes: the controller's times are its defaults. A smaller
`--sync-s` shrinks all of them in proportion, and with them the precision of times that Kubernetes keeps in seconds.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .binaries import find_binaries
from .certificates import Certificates
from .control_plane import ControlPlane, control_plane
from .hpa_log import Decided, decisions, joined
from .hpa_scenarios import SCENARIOS, Deed, Scenario, Shown, expanded
from .nodes import READY_AFTER, FakeNode
from .pod_metrics import NoMetrics, PodMetricsServer, PodSample
from .rest import Rest

NAMESPACE = "default"
SYNC_S = 15.0
# The controller's own defaults, in syncs of 15 s.
WINDOW, INITIALISATION, READINESS = 20, 20, 2
# Of the metrics: shorter than a sync, so that pods that got ready at once count at the next.
SAMPLE = 10 / 15
# Where in the time between two syncs the pods are changed.
CHANGE_AT = 0.4
START_DEADLINE_S = 120.0


@dataclass
class Recorded:
    """What one Deployment's autoscaler was shown so far."""

    scenario: Scenario
    slug: str
    steps: list[Shown]
    seen: list[dict[str, Any]] = field(default_factory=list)
    answer: list[PodSample] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked_at_s: float = 0.0

    @property
    def over(self) -> bool:
        """Whether every step was shown."""
        return len(self.seen) >= len(self.steps)


class Recorder:
    """Answers for metrics-server, changes pods between two syncs, and keeps what was seen."""

    def __init__(self, cluster: ControlPlane, scenarios: Sequence[Scenario], sync_s: float) -> None:
        self._rest = Rest(str(cluster.kubeconfig), 32)
        self._sync_s = sync_s
        slugs = [scenario.name.replace(" ", "-").replace(",", "") for scenario in scenarios]
        self.each = {slug: Recorded(s, slug, expanded(s.steps)) for slug, s in zip(slugs, scenarios, strict=True)}

    def answer(self, namespace: str, selector: str) -> Sequence[PodSample]:
        """What the controller is told; a request soon after another belongs to the same sync (a second metric)."""
        recorded = self.each.get(selector.removeprefix("app="))
        if recorded is None:
            return []
        with recorded.lock:
            now_s = time.time()
            if now_s - recorded.asked_at_s > 0.4 * self._sync_s:
                recorded.asked_at_s = now_s
                self._next_step(recorded, now_s)
            if recorded.answer is None:
                raise NoMetrics("the script says so")
            return recorded.answer

    def _next_step(self, recorded: Recorded, now_s: float) -> None:
        number = len(recorded.seen)
        step = recorded.steps[min(number, len(recorded.steps) - 1)]
        pods = self._pods(recorded.slug)
        usages = None if step.down else told(recorded.scenario, step, pods, now_s, SAMPLE * self._sync_s)
        replicas = self._rest.get(f"{self._deployment(recorded.slug)}/scale")["spec"].get("replicas", 0)
        recorded.answer = usages
        if not recorded.over:
            found = {usage.pod: usage for usage in usages or ()}
            shown = [_described(pod, found.get(pod["metadata"]["name"])) for pod in pods]
            recorded.seen.append({"at_s": now_s, "current": replicas, "pods": shown, "down": step.down})
            if not recorded.over:
                deeds = recorded.steps[len(recorded.seen)].before
                threading.Thread(target=self._do_later, args=(recorded.slug, deeds), daemon=True).start()

    def _do_later(self, slug: str, deeds: Sequence[Deed]) -> None:
        time.sleep(CHANGE_AT * self._sync_s)
        for verb, number in deeds:
            if verb == "wait":
                time.sleep(number * self._sync_s)
            elif verb == "stray":
                for i in range(number):
                    self._rest.post(f"/api/v1/namespaces/{NAMESPACE}/pods", self._stray(slug, i))
            elif verb == "scale":
                self._rest.patch(self._deployment(slug), {"spec": {"replicas": number}})
            else:
                self._change(slug, verb, number)

    def _stray(self, slug: str, number: int) -> dict[str, Any]:
        metadata = {"name": f"{slug}-stray-{number}", "labels": {"app": slug}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod_spec(self.each[slug].scenario)}

    def _change(self, slug: str, verb: str, number: int) -> None:
        alive = [p for p in self._pods(slug) if "deletionTimestamp" not in p["metadata"] and _ready(p) is not None]
        if verb == "ready":
            chosen = [p for p in alive if not _ready(p)][:number]
        else:
            chosen = [p for p in alive if _ready(p)][-number:]
        for pod in chosen:
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}"
            if verb == "unready":
                self._rest.patch(path, {"metadata": {"annotations": {READY_AFTER: "never"}}})
                self._rest.patch(f"{path}/status", _readiness("False"))
            elif verb == "ready":
                self._rest.patch(f"{path}/status", _readiness("True"))
            elif verb == "fail":
                self._rest.patch(f"{path}/status", {"status": {"phase": "Failed"}})
            elif verb == "end":
                self._rest.patch(path, {"metadata": {"finalizers": ["lwmecps.test/held"]}})
                self._rest.delete(path, {"gracePeriodSeconds": 30})
            else:
                raise ValueError(verb)

    def _pods(self, slug: str) -> list[dict[str, Any]]:
        """The Deployment's pods, the oldest first."""
        found = self._rest.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{slug}")["items"]
        return sorted(found, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"]))

    def _deployment(self, slug: str) -> str:
        return f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{slug}"

    def deploy(self, recorded: Recorded) -> None:
        """The scenario's Deployment; returns when its pods run."""
        scenario, labels = recorded.scenario, {"app": recorded.slug}
        annotations = {}
        if scenario.starts_syncs is not None:
            annotations[READY_AFTER] = str(scenario.starts_syncs * self._sync_s)
        if scenario.never_ready:
            annotations[READY_AFTER] = "never"
        template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": _pod_spec(scenario)}
        spec = {"replicas": scenario.replicas, "selector": {"matchLabels": labels}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": recorded.slug}, "spec": spec}
        self._rest.post(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", body)
        until_s = time.monotonic() + START_DEADLINE_S
        while sum(p["status"].get("phase") == "Running" for p in self._pods(recorded.slug)) < scenario.replicas:
            if time.monotonic() > until_s:
                raise TimeoutError(f"the pods of {recorded.slug} don't run")
            time.sleep(0.3)

    def autoscale(self, recorded: Recorded) -> None:
        """The scenario's autoscaler: autoscaling/v1, or, with two metrics, v2beta2."""
        scenario = recorded.scenario
        spec: dict[str, Any] = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": recorded.slug},
            "minReplicas": scenario.minimum,
            "maxReplicas": scenario.maximum,
        }
        version = "v1"
        if scenario.memory is None:
            spec["targetCPUUtilizationPercentage"] = scenario.target
        else:
            version = "v2beta2"
            targets = {"memory": 80, "cpu": scenario.target}
            spec["metrics"] = [
                {
                    "type": "Resource",
                    "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": target}},
                }
                for name, target in targets.items()
            ]
        body = {
            "apiVersion": f"autoscaling/{version}",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": recorded.slug},
            "spec": spec,
        }
        self._rest.post(f"/apis/autoscaling/{version}/namespaces/{NAMESPACE}/horizontalpodautoscalers", body)


def _pod_spec(scenario: Scenario) -> dict[str, Any]:
    requests = {"cpu": f"{scenario.request}m", "memory": "10Mi"}
    container = {"name": "main", "image": "none", "resources": {"requests": requests}}
    return {"containers": [container], "terminationGracePeriodSeconds": 1}


def told(
    scenario: Scenario, step: Shown, pods: Sequence[dict[str, Any]], now_s: float, window_s: float
) -> list[PodSample]:
    """What the metrics API says of the pods at a step: Running ones only, those without a sample left out."""
    running = [p for p in pods if p["status"].get("phase") == "Running"]
    ready = [p for p in running if _ready(p) and "deletionTimestamp" not in p["metadata"]]
    hidden = {p["metadata"]["name"] for p in ready[: step.without]}
    usages = []
    for pod in running:
        name = pod["metadata"]["name"]
        if name in hidden or (not _ready(pod) and not step.unready_measured):
            continue
        millicores = step.each if step.load is None else step.load // max(len(ready), 1)
        if step.ending is not None and "deletionTimestamp" in pod["metadata"]:
            millicores = step.ending
        at_s = _unix(pod["status"]["startTime"]) - 1 if step.stale else int(now_s)
        memory_mib = 1 if scenario.memory == "low" else None
        usages.append(PodSample(name, millicores or 0, at_s, window_s, memory_mib))
    return usages


def _readiness(status: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"status": {"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": now}]}}


def _condition(pod: dict[str, Any]) -> dict[str, str] | None:
    return next((c for c in pod["status"].get("conditions", ()) if c["type"] == "Ready"), None)


def _ready(pod: dict[str, Any]) -> bool | None:
    condition = _condition(pod)
    return None if condition is None else condition["status"] == "True"


def _unix(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _described(pod: dict[str, Any], usage: PodSample | None) -> dict[str, Any]:
    """A pod as the port takes it."""
    status, condition = pod["status"], _condition(pod)
    request = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    return {
        "phase": status.get("phase", "Pending"),
        "ending": "deletionTimestamp" in pod["metadata"],
        "ready": _ready(pod),
        "started_s": _unix(status["startTime"]) if "startTime" in status else None,
        "changed_s": _unix(condition["lastTransitionTime"]) if condition else None,
        "request": int(request.removesuffix("m")),
        "usage": usage and usage.cpu_millicores,
        "measured_s": usage and usage.at_s,
        "sample_s": usage and usage.window_s,
    }


def record(scenarios: Sequence[Scenario], sync_s: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Lead a real controller through the scenarios; what the JSON file holds."""
    flags = [
        f"--horizontal-pod-autoscaler-sync-period={sync_s}s",
        f"--horizontal-pod-autoscaler-downscale-stabilization={WINDOW * sync_s}s",
        f"--horizontal-pod-autoscaler-cpu-initialization-period={INITIALISATION * sync_s}s",
        f"--horizontal-pod-autoscaler-initial-readiness-delay={READINESS * sync_s}s",
        "--v=4",
    ]
    nodes = [FakeNode(f"node-{i}", cpu="64", pods=250) for i in range(4)]
    with control_plane(nodes, node_grace_s=40.0, flags={"kube-controller-manager": flags}) as cluster:
        recorder = Recorder(cluster, scenarios, sync_s)
        certificate = Certificates(cluster.state / "pki").user("pod-metrics")
        with PodMetricsServer(certificate, recorder.answer) as server, cluster.client() as api:
            server.register(api)
            _run(recorder, sync_s, say)
        log = (cluster.state / "log" / "kube-controller-manager.log").read_text()
    made = {}
    for slug, recorded in recorder.each.items():
        made[recorded.scenario.name] = _entry(recorded, decisions(log, slug))
    version = subprocess.run(
        [find_binaries()["kube-controller-manager"], "--version"], capture_output=True, text=True, check=True
    )
    controller = {"version": version.stdout.strip(), "flags": flags, "sync_s": sync_s}
    return {"controller": controller, "scenarios": made}


def _run(recorder: Recorder, sync_s: float, say: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(recorder.deploy, recorder.each.values()))
        time.sleep(SAMPLE * sync_s + 1)
        list(pool.map(recorder.autoscale, recorder.each.values()))
    longest = max(len(recorded.steps) for recorded in recorder.each.values())
    until_s = time.monotonic() + (2 * longest + 30) * sync_s + START_DEADLINE_S
    while left := [r.slug for r in recorder.each.values() if not r.over]:
        if time.monotonic() > until_s:
            raise TimeoutError(f"not at their ends: {', '.join(left)}")
        say(f"{sum(len(r.seen) for r in recorder.each.values())} syncs; {len(left)} scenarios go on")
        time.sleep(sync_s)
    # The last decisions are still to be written.
    time.sleep(2 + 0.2 * sync_s)


def _entry(recorded: Recorded, found: Sequence[Decided]) -> dict[str, Any]:
    """A scenario's part of the file: its settings and every sync, times from the first sync's whole second on."""
    scenario = recorded.scenario
    syncs = joined(recorded.seen, found)
    origin_s = int(syncs[0]["at_s"])
    for sync in syncs:
        sync["at_s"] = round(sync["at_s"] - origin_s, 6)
        for pod in sync.get("pods") or ():
            for key in ("started_s", "changed_s", "measured_s"):
                if pod[key] is not None:
                    pod[key] = int(pod[key] - origin_s)
        if sync.get("pods") is not None:
            counted = Counter(json.dumps(pod) for pod in sync["pods"])
            sync["pods"] = [{"count": n, **json.loads(pod)} for pod, n in sorted(counted.items())]
    settings = {"target": scenario.target, "minimum": scenario.minimum, "maximum": scenario.maximum}
    return {**settings, "memory": scenario.memory, "syncs": syncs}


def main() -> None:
    """Record and write."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kube.hpa_traces", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--sync-s", type=float, default=SYNC_S, help="seconds between two syncs; default: %(default)s")
    parser.add_argument("--only", help="scenarios whose names contain this; the file's others stay as they are")
    options = parser.parse_args()
    chosen = [s for s in SCENARIOS if options.only is None or options.only in s.name]
    made = record(chosen, options.sync_s, lambda line: print(line, file=sys.stderr, flush=True))
    if options.only is not None and options.file.exists():
        before = json.loads(options.file.read_text())
        if before["controller"] != made["controller"]:
            sys.exit(f"{options.file} was recorded with {before['controller']}, this is {made['controller']}")
        made["scenarios"] = before["scenarios"] | made["scenarios"]
    options.file.write_text(as_text(made))


def as_text(made: dict[str, Any]) -> str:
    """JSON with one sync per line."""
    parts = []
    for name, entry in made["scenarios"].items():
        head = json.dumps({k: v for k, v in entry.items() if k != "syncs"})[1:-1]
        syncs = ",\n   ".join(json.dumps(sync) for sync in entry["syncs"])
        parts.append(f'  {json.dumps(name)}: {{{head}, "syncs": [\n   {syncs}]}}')
    scenarios = ",\n".join(parts)
    return f'{{"controller": {json.dumps(made["controller"])},\n "scenarios": {{\n{scenarios}\n }}\n}}\n'


if __name__ == "__main__":
    main()
