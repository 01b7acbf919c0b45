"""Experiment trackers: where the metrics of a run go besides the registry.

A tracker is a convenience: it never makes a run fail and never holds it up for more than a few seconds.

    LWMECPS_TRACKING    comma-separated: `wandb`, `jsonl`, or `none` (default `jsonl,wandb`)
    WANDB_API_KEY       Weights & Biases uploads only when it is set (or WANDB_MODE says so), else it writes offline
"""

import json
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from lwmecps_core.errors import InvalidInput, Violation

log = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "LWMECPS_TRACKING"
DEFAULT_TRACKING = "jsonl,wandb"
_BACKLOG = 10_000
"""Log calls that may wait for W&B before further ones are dropped."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about a run; every metric is filed under `prefix/name`.

    `settings` decide its result, seed and tasks included. Runs of one `group` (empty: `prefix`) are to be compared.
    """

    id: str
    name: str
    prefix: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()


class Tracker(Protocol):
    """Follows one run: `start` once, `log` often, `finish` once."""

    @property
    def external_id(self) -> str:
        """The id under which an outside tool knows the run; empty while unknown."""

    def start(self, run: TrackedRun) -> None:
        """Begin (or, for an id that was seen before, go on)."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """File metrics, by their plain names, under the run's prefix."""

    def finish(self, outcome: str) -> None:
        """End with an outcome such as `COMPLETED`, `FAILED` or `PAUSED`."""


class JsonlTracker:
    """Appends one JSON object per log call to `directory/<run id>.jsonl`.

    A resumed run goes on in the same file; where a step occurs twice, the later line holds.
    """

    external_id = ""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: TextIO | None = None
        self._prefix = ""

    def start(self, run: TrackedRun) -> None:
        """Open the file and write what the run is."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file = (self._directory / f"{run.id}.jsonl").open("a", encoding="utf-8")
        self._prefix = run.prefix
        about = {"group": run.group or run.prefix, "job_type": run.job_type, "tags": list(run.tags)}
        self._write({"event": "start", "run": run.id, "name": run.name, **about, "settings": dict(run.settings)})

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write one line; a number that JSON can't hold becomes null."""
        numbers = {f"{self._prefix}/{k}": v if math.isfinite(v) else None for k, v in metrics.items()}
        self._write({"step": step, **numbers})

    def finish(self, outcome: str) -> None:
        """Write the outcome and close the file."""
        self._write({"event": "finish", "outcome": outcome})
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"time_s": round(time.time(), 3), **line}) + "\n")
            self._file.flush()


class WandbTracker:
    """Sends metrics to Weights & Biases from a thread of its own; the W&B id is the run's id, so a resumed run goes on.

    Offline, every claim of a run writes a folder of its own under that id: `wandb sync` of all of them joins them.
    Importing and starting `wandb` takes seconds, which the run does not wait for. `finish` waits at most
    `patience_s` for what is still to be written.
    """

    def __init__(self, directory: Path, project: str = "lwmecps", patience_s: float = 5.0) -> None:
        self._directory, self._project, self._patience_s = directory, project, patience_s
        self._work: queue.Queue[tuple[dict[str, float], int] | str] = queue.Queue(maxsize=_BACKLOG)
        self._thread: threading.Thread | None = None
        self._prefix = ""
        self._id = ""

    @property
    def external_id(self) -> str:
        """The W&B run id; empty until W&B has accepted the run."""
        return self._id

    def start(self, run: TrackedRun) -> None:
        """Start W&B in the background."""
        self._prefix = run.prefix
        self._thread = threading.Thread(target=self._serve, args=(run,), name=f"wandb-{run.id}", daemon=True)
        self._thread.start()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Hand metrics to the background thread; dropped when W&B is far behind."""
        try:
            numbers = {f"{self._prefix}/{k}": float(v) for k, v in metrics.items()}
            self._work.put_nowait((numbers, step))
        except queue.Full:
            log.debug("W&B is behind; dropped the metrics of step %d", step)

    def finish(self, outcome: str) -> None:
        """Close the W&B run, waiting a few seconds at most."""
        if self._thread is None:
            return
        try:
            self._work.put(outcome, timeout=self._patience_s)
        except queue.Full:
            return
        self._thread.join(self._patience_s)

    def _serve(self, run: TrackedRun) -> None:
        try:
            session = self._open(run)
            self._id, axis = str(session.id), f"{run.prefix}/step"
            session.define_metric(f"{run.prefix}/*", step_metric=axis)
            while not isinstance(item := self._work.get(), str):
                # W&B's own steps only grow: those that a run makes again after a crash would be dropped (online) or
                # moved behind the others (synced), and all later ones with them.
                session.log({**item[0], axis: item[1]})
            session.summary["outcome"] = item
            session.finish(exit_code=1 if item == "FAILED" else 0)
        except Exception as error:  # tracking must never take a run with it, whatever goes wrong inside wandb
            log.warning("W&B tracking of run %s stopped: %s", run.id, error)

    def _open(self, run: TrackedRun) -> Any:
        import wandb  # slow (a second or more), so only when a run is tracked

        self._directory.mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            init_timeout=30,
        )
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or self._project,
            id=run.id,
            name=run.name,
            group=run.group or run.prefix,
            job_type=run.job_type or None,
            tags=run.tags,
            config=dict(run.settings),
            dir=str(self._directory),
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=quiet,
        )


class Trackers:
    """Several trackers as one; a tracker that raises is left out from then on."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    @property
    def external_id(self) -> str:
        """The first id that an outside tool has given."""
        return next((t.external_id for t in self._trackers if t.external_id), "")

    def start(self, run: TrackedRun) -> None:
        """Start all."""
        self._each(lambda t: t.start(run))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log to all."""
        self._each(lambda t: t.log(metrics, step))

    def finish(self, outcome: str) -> None:
        """Finish all."""
        self._each(lambda t: t.finish(outcome))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        working: list[Tracker] = []
        for tracker in self._trackers:
            try:
                call(tracker)
                working.append(tracker)
            except Exception as error:  # see the module's promise: a run outlives its trackers
                log.warning("%s is switched off for this run: %s", type(tracker).__name__, error)
        self._trackers = tuple(working)


TRACKERS: Mapping[str, Callable[[Path], Tracker]] = {
    "jsonl": lambda directory: JsonlTracker(directory / "metrics"),
    "wandb": WandbTracker,
}


def make_trackers(directory: Path, names: str | None = None) -> Trackers:
    """The trackers that `names` (default: $LWMECPS_TRACKING) lists, writing under `directory`.

    Raises `InvalidInput` for a name that is no tracker.
    """
    names = names if names is not None else os.environ.get(ENVIRONMENT_VARIABLE, DEFAULT_TRACKING)
    wanted = [name.strip() for name in names.split(",") if name.strip() not in ("", "none")]
    if unknown := [name for name in wanted if name not in TRACKERS]:
        known = ", ".join((*TRACKERS, "none"))
        raise InvalidInput(ENVIRONMENT_VARIABLE, [Violation(n, f"unknown tracker; one of {known}") for n in unknown])
    return Trackers([TRACKERS[name](directory) for name in wanted])
