"""What a cluster holds, kept up to date by list and watch: nothing is listed per control interval."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from lwmecps_core.cluster.kubernetes_api import FIRST_DELAY_S, LONGEST_DELAY_S, Api, ApiFailure, Events, Json
from lwmecps_core.errors import AccessDenied, ClusterUnavailable, LwmecpsError

R = TypeVar("R")

PAGE = 500
WATCH_S = 30
"""How long one watch lasts; a connection that died silently is noticed a little later."""
RESYNC_S = 600.0
"""How often everything is listed again, against whatever a watch may have missed."""
GONE = 410


class Watched(Generic[R]):
    """The objects of one collection by name, each reduced to a record `R`; `changed` is notified of every change.

    A thread of its own lists and then watches, starts over when the version it knows has expired (410), and goes on
    trying while the server is away: the last state stays.
    """

    def __init__(self, api: Api, path: str, reduce: Callable[[Json], R], changed: threading.Condition) -> None:
        self._api, self._path, self._reduce, self._changed = api, path, reduce, changed
        self._items: dict[str, R] = {}
        self._synced = False
        self._down_since: float | None = time.monotonic()
        self._error: LwmecpsError | None = None
        self._stop = threading.Event()
        self._version, self._listed = "", 0.0
        self._events: Events | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begin to list and watch, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self, deadline_s: float = 5.0) -> None:
        """End the thread; what was seen stays."""
        self._stop.set()
        if self._events is not None:
            self._events.shut()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def items(self) -> dict[str, R]:
        """A copy of what is there, by name."""
        with self._changed:
            return dict(self._items)

    @property
    def current(self) -> bool:
        """Whether everything was listed, and the server is there."""
        return self._synced and self._down_since is None

    @property
    def denied(self) -> AccessDenied | None:
        """The server's refusal to let us look, if that is how it is."""
        return self._error if isinstance(self._error, AccessDenied) else None

    def check(self, deadline_s: float) -> None:
        """Raise `AccessDenied` when we may not look, `ClusterUnavailable` when the server is away for too long."""
        error, since = self._error, self._down_since
        if (denied := self.denied) is not None:
            raise denied
        if since is not None and time.monotonic() - since > deadline_s:
            raise ClusterUnavailable(f"{self._api.address} did not answer for {deadline_s:g} s: {error or self._path}")

    def _run(self) -> None:
        delay = FIRST_DELAY_S
        while not self._stop.is_set():
            try:
                if not self._version or time.monotonic() - self._listed > RESYNC_S:
                    self._list()
                    self._listed = time.monotonic()
                self._follow()
                delay = FIRST_DELAY_S
            except ApiFailure as error:
                if error.status == GONE:
                    self._version = ""
                else:
                    self._down(error)
                self._stop.wait(max(error.retry_after_s, delay * random.uniform(0.5, 1.0)))
                delay = min(2.0 * delay, LONGEST_DELAY_S)

    def _up(self) -> None:
        with self._changed:
            self._down_since = self._error = None
            self._changed.notify_all()

    def _down(self, error: ApiFailure) -> None:
        with self._changed:
            self._down_since = self._down_since or time.monotonic()
            self._error = self._api.failure(error, "GET", self._path)
            self._changed.notify_all()

    def _list(self) -> None:
        """Take over everything that is there now, page by page."""
        found: dict[str, R] = {}
        more: Any = ""
        while True:
            page = {"limit": PAGE, **({"continue": more} if more else {})}
            answer = self._api.request("GET", self._path, page)
            for item in answer.get("items") or ():
                found[item["metadata"]["name"]] = self._reduce(item)
            more = answer["metadata"].get("continue")
            if not more:
                break
        self._version = str(answer["metadata"]["resourceVersion"])
        with self._changed:
            self._items, self._synced = found, True
        self._up()

    def _follow(self) -> None:
        """Apply the events since the last version that was seen, until the watch ends."""
        query = {"resourceVersion": self._version, "allowWatchBookmarks": "true", "timeoutSeconds": WATCH_S}
        self._events = self._api.watch(self._path, query, WATCH_S + 10.0)
        self._up()
        if self._stop.is_set():
            self._events.shut()
        for event in self._events:
            item = event["object"]
            if event["type"] != "BOOKMARK":
                self._take(event["type"], item)
            self._version = str(item["metadata"]["resourceVersion"])

    def _take(self, kind: str, item: Json) -> None:
        record = self._reduce(item)
        with self._changed:
            if kind == "DELETED":
                self._items.pop(item["metadata"]["name"], None)
            else:
                self._items[item["metadata"]["name"]] = record
            self._changed.notify_all()
