"""The loops: train, meta-train, transfer, adapt, evaluate, over any collector.

Each is a generator that yields `Progress` after every step and can start again from any yielded state.
"""

from collections.abc import Iterator

from lwmecps_core.policy import PolicyData
from lwmecps_core.progress import LoopState, Progress, TaskSource
from lwmecps_core.rollout.collector import Collector
from lwmecps_core.run_config import (
    AdaptConfig,
    AlgorithmConfig,
    EvaluateConfig,
    MetaConfig,
    TrainConfig,
    TransferConfig,
)


def train(
    source: TaskSource, algorithm: AlgorithmConfig, cfg: TrainConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Train one policy from nothing on the tasks of `source`."""
    raise NotImplementedError


def meta_train(
    source: TaskSource, algorithm: AlgorithmConfig, cfg: MetaConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Meta-train: the policy's `inner_lr` holds the (learnt) inner rates."""
    raise NotImplementedError


def transfer(
    policy: PolicyData, source: TaskSource, cfg: TransferConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Go on training a stored policy on other tasks."""
    raise NotImplementedError


def adapt(
    policy: PolicyData, source: TaskSource, cfg: AdaptConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Adapt a stored policy to every task of `source` by inner steps; one `Progress` per step, with rows."""
    raise NotImplementedError


def evaluate(
    policy: PolicyData | None, source: TaskSource, cfg: EvaluateConfig, collector: Collector, *, seed: int,
    start: LoopState | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Evaluate a stored policy, or the baseline that `cfg` names, on every task of `source`."""
    raise NotImplementedError
