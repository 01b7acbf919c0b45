"""Which loop does which kind of work: the function of `lwmecps_core.training` that has the kind's name.

The one place that calls loops: the learner-service's runs and the library's own calls both come here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lwmecps_core import training
from lwmecps_core.kinds import KINDS, RunSettings, kind_of
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import Collector
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.training.progress import LoopState, Progress, TaskSource

TASKS_BESIDE = {"source_task_ids": "origin", "calibration_task_ids": "calibration"}
"""Field of a run → the name under which loops take the tasks in it."""


@dataclass(frozen=True)
class LoopWork:
    """Everything that decides what a loop does.

    `algorithm` is for kinds that learn from nothing, `policy` for the others, and for those that may go on from one;
    `beside` holds the tasks that the kind may name beside those it works on.
    """

    settings: RunSettings
    source: TaskSource
    algorithm: AlgorithmConfig | None = None
    policy: PolicyData | None = None
    beside: TaskSource = ()
    seed: int = 0


def steps(work: LoopWork, collector: Collector, start: LoopState | None = None) -> Iterator[Progress]:
    """The steps of the loop, from the beginning or from where an earlier one was."""
    name = kind_of(work.settings)
    kind = KINDS[name]
    given = (work.source, work.algorithm) if kind.from_nothing else (work.policy, work.source)
    others: dict[str, Any] = {TASKS_BESIDE[kind.beside]: work.beside} if kind.beside else {}
    others |= {"policy": work.policy} if kind.may_go_on else {}
    made: Iterator[Progress] = getattr(training, name)(
        *given, work.settings, collector, seed=work.seed, start=start, **others
    )
    return made
