"""Kinds of runs: the one table of what sets them apart, which everything that knows kinds reads.

A new kind is a row here. It also needs a loop of its name in `lwmecps_core.training`, and its place in the contracts
and on the command line: `tests/contracts/test_kinds.py` says where it is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lwmecps_core.continual_config import MOST_CLUSTERS, ContinualConfig
from lwmecps_core.run_config import AdaptConfig, EvaluateConfig, MetaConfig, TrainConfig, TransferConfig

ALIASES = {"meta_lr": "outer_lr", "gamma": "discount_factor"}
"""Other names of settings, as options, in files and in calls."""
RunSettings = TrainConfig | MetaConfig | TransferConfig | AdaptConfig | EvaluateConfig | ContinualConfig


@dataclass(frozen=True)
class Kind:
    """What sets the runs of one kind apart."""

    settings: type[RunSettings]
    from_nothing: bool = False
    """Whether it learns from nothing, by an algorithm that it may name; others start from a stored policy, which brings
    its algorithm along."""
    may_go_on: bool = False
    """Whether one that learns from nothing may take over a stored policy's weights in place of fresh ones."""
    one_by_one: bool = False
    """Whether it measures every task by itself, so that a distribution has to be drawn from first."""
    most_tasks: int = 0
    """Tasks that it can work on, drawn ones among them; 0: as many as a run may name."""
    beside: str = ""
    """The field of a run with the tasks that it may name beside those it works on; empty: none."""
    in_place_of_policy: str = ""
    """The setting that may say what is measured in place of a policy; empty: a policy is needed."""
    filed_under: str = ""
    """The setting whose value its metrics are filed under (`maml`, `fomaml`); empty: the kind's name."""


KINDS: Mapping[str, Kind] = {
    "train": Kind(TrainConfig, from_nothing=True, may_go_on=True),
    "meta_train": Kind(MetaConfig, from_nothing=True, filed_under="method"),
    "transfer": Kind(TransferConfig, beside="source_task_ids"),
    "adapt": Kind(AdaptConfig, one_by_one=True),
    "evaluate": Kind(EvaluateConfig, one_by_one=True, beside="calibration_task_ids", in_place_of_policy="baseline"),
    "continual": Kind(ContinualConfig, one_by_one=True, most_tasks=MOST_CLUSTERS),
}
"""By the names of the settings in `RunSpec`."""

BESIDE = tuple(kind.beside for kind in KINDS.values() if kind.beside)
"""All fields of a run that some kind's tasks beside stand in."""


def kind_of(settings: RunSettings) -> str:
    """The kind of run that settings are for."""
    return next(name for name, kind in KINDS.items() if type(settings) is kind.settings)


def metric_prefix(name: str, settings: RunSettings) -> str:
    """Where the metrics of a run of the kind `name` are filed: `maml` or `fomaml` for meta-training, else its name."""
    field = KINDS[name].filed_under
    return str(getattr(settings, field)) if field else name
