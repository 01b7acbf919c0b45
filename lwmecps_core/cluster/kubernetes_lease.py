"""One controller per namespace at a time: a `coordination.k8s.io` Lease that a thread renews."""

import threading
import time
from datetime import UTC, datetime

from lwmecps_core.cluster.kubernetes_api import Api, ApiFailure, Json
from lwmecps_core.errors import ClusterUnavailable, Conflict, WrongState

NAME = "lwmecps"
DURATION_S = 15.0
CONFLICT = 409


class Lease:
    """The lease of one namespace under the name `identity`; expiry is judged by this machine's clock."""

    def __init__(self, api: Api, namespace: str, identity: str, duration_s: float = DURATION_S) -> None:
        self._api, self._namespace, self._identity, self._duration_s = api, namespace, identity, duration_s
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._version, self._transitions = "", 0
        self._renewed = -1e9
        self._lost_to: str | None = None
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def acquire(self, deadline_s: float) -> None:
        """Take the lease, if it is not ours already; raises `WrongState` that names who holds it."""
        if self._thread is not None and self._lost_to is None:
            return
        self._end_thread()
        self._lost_to = None
        self._take(deadline_s)
        self._stop.clear()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="lease", daemon=True)
        self._thread.start()

    def check(self, deadline_s: float) -> None:
        """Return when the lease is certainly ours, waiting for a renewal that is late.

        Raises `Conflict` when somebody else took it, `ClusterUnavailable` when it can't be renewed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._lost_to is not None or self._fresh(), deadline_s)
            if self._lost_to is not None:
                raise Conflict(f"the lease {NAME} in namespace {self._namespace} is now held by {self._lost_to}")
            if not self._fresh():
                raise ClusterUnavailable(
                    f"the lease {NAME} in namespace {self._namespace} could not be renewed for {deadline_s:g} s"
                )

    def release(self) -> None:
        """Give the lease back, if it is ours; what can't be given back runs out by itself."""
        if self._thread is None:
            return
        self._end_thread()
        if self._lost_to is None:
            try:
                self._write(holder="")
            except ApiFailure:
                self._renewed = -1e9

    def _fresh(self) -> bool:
        # Less than the others wait: what is applied must have left before they may take over.
        return time.monotonic() - self._renewed < 0.8 * self._duration_s

    def _end_thread(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._duration_s)
        self._thread = None

    def _take(self, deadline_s: float) -> None:
        end = time.monotonic() + deadline_s
        while True:
            try:
                self._attempt()
                return
            except ApiFailure as error:
                if error.status not in (0, CONFLICT, 429, 500, 503) or time.monotonic() > end:
                    raise self._api.failure(error, "PUT", f"{self._path}/{NAME}") from None
                time.sleep(max(0.1, error.retry_after_s))

    def _attempt(self) -> None:
        try:
            found = self._api.request("GET", f"{self._path}/{NAME}")
        except ApiFailure as error:
            if error.status != 404:
                raise
            began = time.monotonic()
            body = {**_object(self._namespace), "spec": self._spec(self._identity)}
            self._taken(self._api.request("POST", self._path, body=body), began)
            return
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and (left_s := _left_s(spec)) > 0:
            raise WrongState(
                f"namespace {self._namespace} is controlled by {holder} (lease {NAME}, {left_s:.0f} s to go)"
            )
        self._version = found["metadata"]["resourceVersion"]
        self._transitions = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
        self._write(self._identity)

    def _write(self, holder: str) -> None:
        """Replace the lease that we saw last; a conflict means that somebody else was faster."""
        meta = {**_object(self._namespace)["metadata"], "resourceVersion": self._version}
        began = time.monotonic()
        body = {**_object(self._namespace), "metadata": meta, "spec": self._spec(holder)}
        self._taken(self._api.request("PUT", f"{self._path}/{NAME}", body=body), began)

    def _taken(self, answer: Json, began: float) -> None:
        with self._changed:
            self._version, self._renewed = answer["metadata"]["resourceVersion"], began
            self._changed.notify_all()

    def _renew_until_stopped(self) -> None:
        wait_s = self._duration_s / 3.0
        while not self._stop.wait(wait_s):
            wait_s = self._duration_s / 3.0
            try:
                self._write(self._identity)
            except ApiFailure as error:
                if error.status in (CONFLICT, 404) and self._taken_by_another():
                    return
                wait_s = self._duration_s / 15.0

    def _taken_by_another(self) -> bool:
        """Whether the lease has another holder now; if it is still ours, its new version is noted."""
        try:
            found = self._api.request("GET", f"{self._path}/{NAME}")
        except ApiFailure as error:
            if error.status != 404:
                return False
            found = {"metadata": {"resourceVersion": ""}}
        holder = (found.get("spec") or {}).get("holderIdentity") or "nobody"
        with self._changed:
            self._version = found["metadata"]["resourceVersion"]
            if holder != self._identity:
                self._lost_to = holder
                self._changed.notify_all()
        return holder != self._identity

    def _spec(self, holder: str) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._duration_s)),
            "renewTime": now,
            "leaseTransitions": self._transitions,
        }


def _object(namespace: str) -> Json:
    meta = {"name": NAME, "namespace": namespace}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}


def _left_s(spec: Json) -> float:
    """Seconds until a lease runs out."""
    if not spec.get("renewTime"):
        return 0.0
    renewed = datetime.fromisoformat(spec["renewTime"])
    return float(spec.get("leaseDurationSeconds") or 0) - (datetime.now(UTC) - renewed).total_seconds()
