"""What a run does, as the registry keeps it and a learner works on it."""

from dataclasses import dataclass

from lwmecps_core.kinds import KINDS, RunSettings, kind_of
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides what a run does (see `RunSpec` in registry/v1/run.proto); immutable.

    `label` names the method in result rows. `num_tasks` tasks are drawn, with seeds from `task_seed`, when the run
    names a distribution (0: it is learnt from as it is).
    """

    settings: RunSettings
    task_ids: tuple[str, ...] = ()
    label: str = ""
    num_tasks: int = 0
    task_seed: int = 0
    calibration_task_ids: tuple[str, ...] = ()
    source_task_ids: tuple[str, ...] = ()
    policy_id: str = ""
    seed: int = 0
    algorithm: AlgorithmConfig | None = None

    @property
    def kind(self) -> str:
        """Which kind of run it is; follows from the settings."""
        return kind_of(self.settings)

    @property
    def learns_by(self) -> AlgorithmConfig | None:
        """The algorithm of a run that learns from nothing, PPO unless it names one; None where a policy brings one."""
        return (self.algorithm or PPOConfig()) if KINDS[self.kind].from_nothing else None
