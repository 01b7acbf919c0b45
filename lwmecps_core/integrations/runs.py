"""Runs as searches over settings see them: a contract that `services.common.remote_runs` keeps over gRPC."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, RunEnded, Violation
from lwmecps_core.idle import check_training
from lwmecps_core.kinds import KINDS, RunSettings
from lwmecps_core.run_config import META_LEARNERS, AlgorithmConfig, TrainConfig

METRIC = "total_reward"
"""What searches go by unless they are told otherwise: reward of an episode, which every kind of run reports."""
COMPLETED, ENDED = "completed", ("completed", "failed", "cancelled")


@config
class RunRequest:
    """A run to start; `settings` are those of its kind and of its algorithm, each by its one name (as in options)."""

    tasks: tuple[str, ...]
    """Ids of registered tasks or distributions."""
    kind: str = "train"
    """What it does: train, meta_train, transfer, continual, adapt or evaluate."""
    algorithm: str = "ppo"
    """Which algorithm learns, where no policy says so."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Name of a setting → value."""
    policy: str = ""
    """Id of the policy that it starts from, of kinds that need one or may go on from one."""
    num_tasks: int = 0
    """Tasks to draw from the distributions."""
    task_seed: int = 0
    """Seed of drawing those tasks."""
    seed: int = 0
    """Seed of everything random."""
    label: str = ""
    """Name of the method in the result rows."""
    request_id: str = ""
    """For a week, the same again is the run that the first made; empty: every request makes a run."""


@dataclass(frozen=True)
class RunNews:
    """How far a run is, and what it reported since the news before: `metrics` is step → name → value."""

    run_id: str
    state: str
    step: int = 0
    total_steps: int = 0
    metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    policy_id: str = ""
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether the run will never change state again."""
        return self.state in ENDED


class Runs(Protocol):
    """Where runs are started and followed.

    Searches send such an object to other processes: it must survive pickling, and hold no connection until it is used.
    """

    def start(self, asked: RunRequest) -> str:
        """Start a run; its id. Raises `InvalidInput` and `NotFound` for what can't be run."""

    def follow(self, run_id: str, after_step: int = -1) -> Iterator[RunNews]:
        """The run as it is, and after every change, with metrics of steps behind `after_step`, until it has ended."""

    def pause(self, run_id: str) -> None:
        """Ask a run to pause; its state is kept. Does nothing to one that has ended."""

    def resume(self, run_id: str) -> None:
        """Let a paused run go on."""

    def cancel(self, run_id: str) -> None:
        """Ask a run to end. Does nothing to one that has ended."""


def settings_of(asked: RunRequest) -> tuple[RunSettings, AlgorithmConfig | None]:
    """The settings of the run's kind, and its algorithm where it learns from nothing.

    Raises `InvalidInput` for an unknown kind, and for a setting that neither has or that can't be used.
    """
    if asked.kind not in KINDS:
        raise InvalidInput("run", [Violation("kind", f"{asked.kind!r} is none of {', '.join(KINDS)}")])
    kind = KINDS[asked.kind]
    classes = [kind.settings, *(META_LEARNERS.values() if asked.kind == "meta_train" else ())]
    names = {"method", *(field.name for cls in classes for field in fields(cls))} - {"name"}
    own = {name: value for name, value in asked.settings.items() if name in names or not kind.from_nothing}
    settings: RunSettings = parse(kind.settings, own, "settings")
    if not kind.from_nothing:
        return settings, None
    rest = {name: value for name, value in asked.settings.items() if name not in own}
    algorithm: AlgorithmConfig = parse(AlgorithmConfig, rest | {"name": asked.algorithm}, "settings")
    if isinstance(settings, TrainConfig):
        check_training(algorithm, settings)
    return settings, algorithm


def completed(news: RunNews | None) -> RunNews:
    """The last news of a run; raises `RunEnded` unless it completed."""
    if news is None or news.state != COMPLETED:
        state, why = (news.state, news.error) if news else ("vanished", "")
        raise RunEnded(f"run {news.run_id if news else ''} {state}: {why or 'no reason given'}")
    return news
