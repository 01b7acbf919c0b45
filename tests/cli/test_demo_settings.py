"""Every learnt policy of the demo sees as many episodes, under the same schedule."""

import pytest

from lwmecps_core.specs import TaskDistribution
from services.cli.demo_settings import DemoSettings, remembering


@pytest.mark.parametrize(
    "settings", [DemoSettings(), remembering(DemoSettings(), "recurrent")], ids=["statistics", "recurrent"]
)
def test_every_learnt_policy_has_the_same_data_and_schedule(settings: DemoSettings) -> None:
    meta, plain, told = settings.meta, settings.multi_task, settings.context_training
    epochs_after = meta.num_meta_epochs - meta.warmup_epochs
    rollouts = meta.warmup_epochs + epochs_after * (meta.adaptation_steps + 1)
    assert plain.total_episodes == meta.meta_batch_size * meta.episodes_per_step * rollouts
    # A rollout of a policy that learns what to remember is two episodes long.
    length = (settings.context_algorithm.n_steps or TaskDistribution().horizon) // TaskDistribution().horizon
    assert (told.total_episodes or 0) * length == plain.total_episodes
    assert told.tasks_per_batch * length == plain.tasks_per_batch
    assert {(c.schedule, c.schedule_share) for c in (meta, plain, told)} == {("linear", 1.0)}
