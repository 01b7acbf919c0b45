"""The process that plays the kubelets of the fake nodes.

It renews the nodes' Leases, marks pods that are bound to them Running and Ready, and confirms their deletion. It hears
of nodes and pods by watching, keeps only what it needs of them, and holds no state that a restart would lose.
"""

import argparse
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .nodes import DEAD, LABEL, READY_AFTER, ready_condition, timestamp
from .rest import ApiRefused, Rest

WORKERS = 8
BEAT_WORKERS = 4
# A round of heartbeats goes out in so many portions, so that a thousand nodes do not knock all at once.
PORTIONS = 20
RETRY_S = 0.5
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@dataclass(frozen=True)
class FakePod:
    """What is needed of a pod."""

    path: str
    uid: str
    node: str
    phase: str
    ready: bool
    ending: bool
    containers: tuple[tuple[str, str], ...]
    ready_after: str | None
    address: str | None

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "FakePod":
        """A pod from its JSON."""
        meta, spec, status = raw["metadata"], raw["spec"], raw["status"]
        return cls(
            path=f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
            uid=meta["uid"],
            node=spec["nodeName"],
            phase=status.get("phase", "Pending"),
            ready=_is_ready(status),
            ending="deletionTimestamp" in meta,
            containers=tuple((c["name"], c["image"]) for c in spec["containers"]),
            ready_after=meta.get("annotations", {}).get(READY_AFTER),
            address=status.get("podIP"),
        )

    @property
    def never_ready(self) -> bool:
        """Whether it shall run without ever becoming ready."""
        return self.ready_after == "never"

    @property
    def waits_for_us(self) -> bool:
        """Whether its kubelet has something to do."""
        if self.ending:
            return True
        if self.phase == "Pending":
            return True
        return self.phase == "Running" and not self.ready and not self.never_ready


class FakeNodes:
    """Kubelets of all nodes that carry the label; `beat_s` apart are the heartbeats of one node."""

    def __init__(self, rest: Rest, beat_s: float, pod_start_s: float) -> None:
        self._rest, self._beat_s, self._pod_start_s = rest, beat_s, pod_start_s
        self._alive: set[str] = set()
        self._unready: set[str] = set()
        self._pods: dict[str, FakePod] = {}
        self._due: list[tuple[float, str, bool]] = []
        self._queued: set[tuple[str, bool]] = set()
        # Guards everything above; waited on by the workers.
        self._changed = threading.Condition()
        self._addresses = itertools.count(int(time.time()))

    def run(self) -> None:
        """Work until the process is ended."""
        roles: list[Callable[[], None]] = [self._watch_nodes, self._watch_pods, *[self._work] * WORKERS]
        for role in roles:
            threading.Thread(target=role, daemon=True).start()
        self._beat()

    def _watch_nodes(self) -> None:
        for kind, raw in self._rest.watch("/api/v1/nodes", f"labelSelector={LABEL}%3Dtrue"):
            if kind == "SYNCED":
                with self._changed:
                    self._alive &= {node["metadata"]["name"] for node in raw["items"]}
                    self._unready &= self._alive
                for node in raw["items"]:
                    self._look_at_node(node)
            elif kind == "DELETED":
                self._forget(raw["metadata"]["name"])
            else:
                self._look_at_node(raw)

    def _look_at_node(self, raw: dict[str, Any]) -> None:
        meta, name = raw["metadata"], raw["metadata"]["name"]
        if meta.get("annotations", {}).get(DEAD) == "true":
            self._forget(name)
            return
        if name not in self._alive:
            self._renew(name)
            with self._changed:
                self._alive.add(name)
                for pod in self._pods.values():
                    if pod.node == name:
                        self._look_at_pod(pod)
        ready = _is_ready(raw["status"])
        with self._changed:
            (self._unready.discard if ready else self._unready.add)(name)
        if not ready:
            self._say_ready(name)

    def _forget(self, name: str) -> None:
        with self._changed:
            self._alive.discard(name)
            self._unready.discard(name)

    def _say_ready(self, name: str) -> None:
        """Undo what the node's controller concluded from late heartbeats; it says so once, so every beat repeats it."""
        status = {"status": {"conditions": [ready_condition()]}}
        self._try(f"{name} becomes ready", lambda: self._rest.patch(f"/api/v1/nodes/{name}/status", status))

    def _watch_pods(self) -> None:
        for kind, raw in self._rest.watch("/api/v1/pods", "fieldSelector=spec.nodeName!%3D"):
            with self._changed:
                if kind == "SYNCED":
                    pods = [FakePod.of(item) for item in raw["items"]]
                    self._pods = {pod.uid: pod for pod in pods}
                elif kind == "DELETED":
                    self._pods.pop(raw["metadata"]["uid"], None)
                    continue
                else:
                    pods = [FakePod.of(raw)]
                    self._pods[pods[0].uid] = pods[0]
                for pod in pods:
                    self._look_at_pod(pod)

    def _look_at_pod(self, pod: FakePod) -> None:
        """Queue what its kubelet would do; with the lock held."""
        if not pod.waits_for_us or pod.node not in self._alive:
            return
        wait_s = 0.0
        if not pod.ending and pod.phase == "Pending":
            wait_s = self._pod_start_s if pod.ready_after in (None, "never") else float(pod.ready_after)
        self._queue(pod, wait_s)

    def _queue(self, pod: FakePod, wait_s: float) -> None:
        key = (pod.uid, pod.ending)
        if key not in self._queued:
            self._queued.add(key)
            heapq.heappush(self._due, (time.monotonic() + wait_s, *key))
            self._changed.notify()

    def _work(self) -> None:
        for pod in self._due_pods():
            action = self._end if pod.ending else self._start
            if not self._try(pod.path, lambda act=action, pod=pod: act(pod)):
                with self._changed:
                    self._queue(pod, RETRY_S)

    def _due_pods(self) -> Iterator[FakePod]:
        """The pods whose time has come, each to one worker."""
        while True:
            with self._changed:
                while not self._due or (wait_s := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(wait_s if self._due else None)
                _, uid, ending = heapq.heappop(self._due)
                self._queued.discard((uid, ending))
                pod = self._pods.get(uid)
                wanted = pod is not None and pod.waits_for_us and pod.ending == ending and pod.node in self._alive
            if pod is not None and wanted:
                yield pod

    def _end(self, pod: FakePod) -> None:
        self._rest.delete(pod.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}})

    def _start(self, pod: FakePod) -> None:
        now, ready = timestamp(), "False" if pod.never_ready else "True"
        number = next(self._addresses)
        # A pod that is only made ready again keeps its address; a second one would be refused.
        address = pod.address or f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        states = {"Initialized": "True", "ContainersReady": ready, "Ready": ready}
        containers = [
            {
                "name": name,
                "image": image,
                "imageID": image,
                "containerID": f"fake://{pod.uid}/{name}",
                "ready": not pod.never_ready,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for name, image in pod.containers
        ]
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": [{"type": t, "status": s, "lastTransitionTime": now} for t, s in states.items()],
            "containerStatuses": containers,
        }
        # The uid refuses the patch to a namesake made after the pod was deleted.
        self._rest.patch(f"{pod.path}/status", {"metadata": {"uid": pod.uid}, "status": status})

    def _beat(self) -> None:
        with ThreadPoolExecutor(BEAT_WORKERS) as pool:
            while True:
                began = time.monotonic()
                with self._changed:
                    names = sorted(self._alive)
                for portion in range(PORTIONS):
                    list(pool.map(self._beat_once, names[portion::PORTIONS]))
                    time.sleep(max(0.0, began + (portion + 1) * self._beat_s / PORTIONS - time.monotonic()))

    def _beat_once(self, name: str) -> None:
        self._renew(name)
        with self._changed:
            unready = name in self._unready
        if unready:
            self._say_ready(name)

    def _renew(self, name: str) -> None:
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": timestamp()}

        def renew() -> None:
            try:
                self._rest.patch(f"{LEASES}/{name}", {"spec": spec})
            except ApiRefused as refused:
                if refused.status != 404:
                    raise
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
                self._rest.post(LEASES, {**lease, "spec": spec})

        self._try(f"heartbeat of {name}", renew)

    def _try(self, what: str, act: Callable[[], Any]) -> bool:
        """Whether it went well, or needs no second attempt because its object is gone or has changed."""
        try:
            act()
        except ApiRefused as refused:
            if refused.status in (404, 409):
                return True
            print(f"{timestamp()} {what}: {refused}", flush=True)
        except OSError as error:
            print(f"{timestamp()} {what}: {error}", flush=True)
        else:
            return True
        return False


def _is_ready(status: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))


def main() -> None:
    """Play the kubelets until ended by a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--beat-s", type=float, required=True, help="seconds between two heartbeats of a node")
    parser.add_argument("--pod-start-s", type=float, required=True, help="seconds from a pod's binding to readiness")
    options = parser.parse_args()
    FakeNodes(Rest(options.kubeconfig, WORKERS + BEAT_WORKERS + 4), options.beat_s, options.pod_start_s).run()


if __name__ == "__main__":
    main()
