"""Experiment trackers: where the metrics of a run go besides the registry.

A tracker is a convenience: it never makes a run fail and never holds it up for more than a few seconds.

    LWMECPS_TRACKING    comma-separated: `wandb`, `jsonl`, `mlflow`, or `none` (default `jsonl,wandb`)
    WANDB_API_KEY       Weights & Biases uploads only when it is set (or WANDB_MODE says so), else it writes offline
    MLFLOW_TRACKING_URI MLflow's server or database (default: a SQLite file of our own)
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TextIO

from lwmecps_core.errors import InvalidInput, Violation

log = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "LWMECPS_TRACKING"
DEFAULT_TRACKING = "jsonl,wandb"
_BACKLOG = 10_000
"""Log calls that may wait for an outside tool before further ones are dropped."""
RUN_TAG = "lwmecps.run"
"""The tag of an MLflow run that holds the run's id."""
MLFLOW_POINTS, MLFLOW_TEXT = 1000, 6000
"""Most metrics in a message to MLflow, and most characters in a parameter."""
MLFLOW_STATES = {"COMPLETED": "FINISHED", "FAILED": "FAILED", "PAUSED": "SCHEDULED"}
"""Outcome → state of the MLflow run; all others are killed."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about a run; every metric is filed under `prefix/name`.

    `settings` decide its result, seed and tasks included. Runs of one `group` (empty: `prefix`) are to be compared.
    `sweep` is the W&B sweep that it belongs to, and `sweep_run` its id there (empty: none).
    """

    id: str
    name: str
    prefix: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    sweep: str = ""
    sweep_run: str = ""


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


class _Behind:
    """What a tracker has still to send, worked off by a thread of its own, so that the run doesn't wait for it.

    An item is a step's metrics, or, as the last, the outcome.
    """

    def __init__(self, name: str, patience_s: float) -> None:
        self._name, self._patience_s = name, patience_s
        self._work: queue.Queue[tuple[dict[str, float], int] | str] = queue.Queue(maxsize=_BACKLOG)
        self._thread: threading.Thread | None = None

    def start(self, serve: Callable[[], None], run_id: str) -> None:
        """Let `serve` take the items in the background."""

        def guarded() -> None:
            try:
                serve()
            except Exception as error:  # tracking must never take a run with it, whatever goes wrong inside a tool
                log.warning("%s tracking of run %s stopped: %s", self._name, run_id, error)

        self._thread = threading.Thread(target=guarded, name=f"{self._name.lower()}-{run_id}", daemon=True)
        self._thread.start()

    def put(self, metrics: dict[str, float], step: int) -> None:
        """Hand on metrics; dropped when the tool is far behind."""
        try:
            self._work.put_nowait((metrics, step))
        except queue.Full:
            log.debug("%s is behind; dropped the metrics of step %d", self._name, step)

    def take(self) -> tuple[dict[str, float], int] | str:
        """The next item; waits for it."""
        return self._work.get()

    def waiting(self) -> bool:
        """Whether there is a next item already."""
        return not self._work.empty()

    def finish(self, outcome: str) -> None:
        """Hand on the outcome, and wait a few seconds at most for what is still to be sent."""
        if self._thread is None:
            return
        try:
            self._work.put(outcome, timeout=self._patience_s)
        except queue.Full:
            return
        self._thread.join(self._patience_s)


class WandbTracker:
    """Sends metrics to Weights & Biases from a thread of its own; the W&B id is the run's id (in a sweep, the one
    that its agent gave), so a resumed run goes on.

    Offline, every claim of a run writes a folder of its own under that id: `wandb sync` of all of them joins them.
    Importing and starting `wandb` takes seconds, which the run does not wait for. `finish` waits at most
    `patience_s` for what is still to be written.
    """

    def __init__(self, directory: Path, project: str = "lwmecps", patience_s: float = 5.0) -> None:
        self._directory, self._project = directory, project
        self._behind = _Behind("W&B", patience_s)
        self._prefix = ""
        self._id = ""

    @property
    def external_id(self) -> str:
        """The W&B run id; empty until W&B has accepted the run."""
        return self._id

    def start(self, run: TrackedRun) -> None:
        """Start W&B in the background."""
        self._prefix = run.prefix
        self._behind.start(lambda: self._serve(run), run.id)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Hand metrics to the background thread; dropped when W&B is far behind."""
        self._behind.put({f"{self._prefix}/{k}": float(v) for k, v in metrics.items()}, step)

    def finish(self, outcome: str) -> None:
        """Close the W&B run, waiting a few seconds at most."""
        self._behind.finish(outcome)

    def _serve(self, run: TrackedRun) -> None:
        session = self._open(run)
        self._id, axis = str(session.id), f"{run.prefix}/step"
        session.define_metric(f"{run.prefix}/*", step_metric=axis)
        while not isinstance(item := self._behind.take(), str):
            # W&B's own steps only grow: those that a run makes again after a crash would be dropped (online) or
            # moved behind the others (synced), and all later ones with them.
            session.log({**item[0], axis: item[1]})
        session.summary["outcome"] = item
        session.finish(exit_code=1 if item == "FAILED" else 0)

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
            sweep_id=run.sweep or None,
        )
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or self._project,
            id=run.sweep_run or run.id,
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


class MlflowTracker:
    """Sends metrics to MLflow from a thread of its own; a run that resumes goes on in the one with its `RUN_TAG`.

    Without MLFLOW_TRACKING_URI they go to `mlflow.db` (SQLite) in the directory: MLflow's own default is one in the
    working folder. What is not finite is left out: MLflow would store the largest number for infinity.
    """

    def __init__(self, directory: Path, experiment: str = "lwmecps", patience_s: float = 5.0) -> None:
        self._directory, self._experiment = directory, experiment
        self._behind = _Behind("MLflow", patience_s)
        self._prefix = ""

    external_id = ""

    def start(self, run: TrackedRun) -> None:
        """Start MLflow in the background."""
        self._prefix = run.prefix
        self._behind.start(lambda: self._serve(run), run.id)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Hand metrics to the background thread; dropped when MLflow is far behind."""
        finite = {f"{self._prefix}/{k}": float(v) for k, v in metrics.items() if math.isfinite(v)}
        self._behind.put(finite, step)

    def finish(self, outcome: str) -> None:
        """End the MLflow run, waiting a few seconds at most."""
        self._behind.finish(outcome)

    def _serve(self, run: TrackedRun) -> None:
        from mlflow.entities import Metric  # slow, and an extra: only when a run is tracked there
        from mlflow.tracking import MlflowClient

        self._directory.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self._directory / 'mlflow.db'}"
        client = MlflowClient(tracking_uri=uri)
        run_id = self._begun(client, run)
        item: tuple[dict[str, float], int] | str = ({}, 0)
        while not isinstance(item, str):
            points: list[Any] = []
            # One message for all that waits.
            while not isinstance(item := self._behind.take(), str):
                now_ms = int(time.time() * 1000)
                points += [Metric(name, value, now_ms, item[1]) for name, value in item[0].items()]
                if len(points) > MLFLOW_POINTS or not self._behind.waiting():
                    break
            for at in range(0, len(points), MLFLOW_POINTS):
                client.log_batch(run_id, metrics=points[at : at + MLFLOW_POINTS])
        client.set_tag(run_id, "outcome", item)
        client.set_terminated(run_id, MLFLOW_STATES.get(item, "KILLED"))

    def _begun(self, client: Any, run: TrackedRun) -> str:
        """The MLflow run of a run: the one that it began earlier, or a new one with its settings."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self._experiment
        found = client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else client.create_experiment(name)
        if earlier := client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run.id}'"):
            client.update_run(earlier[0].info.run_id, status="RUNNING")
            return str(earlier[0].info.run_id)
        tags = {RUN_TAG: run.id, "kind": run.job_type, "group": run.group or run.prefix, "tags": ", ".join(run.tags)}
        begun = str(client.create_run(experiment, tags=tags, run_name=run.name).info.run_id)
        for key, value in run.settings.items():
            client.log_param(begun, key, str(value)[:MLFLOW_TEXT])
        return begun


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
    "mlflow": MlflowTracker,
}


def make_trackers(directory: Path, names: str | None = None) -> Trackers:
    """The trackers that `names` (default: $LWMECPS_TRACKING) lists, writing under `directory`.

    Raises `InvalidInput` for a name that is no tracker, or one whose library is not installed.
    """
    names = names if names is not None else os.environ.get(ENVIRONMENT_VARIABLE, DEFAULT_TRACKING)
    wanted = [name.strip() for name in names.split(",") if name.strip() not in ("", "none")]
    if unknown := [name for name in wanted if name not in TRACKERS]:
        known = ", ".join((*TRACKERS, "none"))
        raise InvalidInput(ENVIRONMENT_VARIABLE, [Violation(n, f"unknown tracker; one of {known}") for n in unknown])
    if "mlflow" in wanted and find_spec("mlflow") is None:
        raise InvalidInput(ENVIRONMENT_VARIABLE, [Violation("mlflow", "not installed: pip install 'lwmecps[mlflow]'")])
    return Trackers([TRACKERS[name](directory) for name in wanted])
