"""What the networks of a policy see: blocks may be ignored as long as something is left of what rows are of."""

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.training import train

SHORT = TrainConfig(total_episodes=1, episodes_per_batch=1)


def trained(env_id: str, context: str, network: str, ignored: tuple[str, ...]) -> None:
    source = TaskDistribution(env_id=env_id, nodes=2, deployments=2)  # type: ignore[arg-type]
    cfg = PPOConfig(hidden_size=(4, 4), n_epochs=1, ignore_blocks=ignored, context=context, network=network)  # type: ignore[arg-type]
    *_, last = train(source, cfg, SHORT, LocalCollector(), seed=0)
    assert last.policy is not None


@pytest.mark.parametrize(
    ("env_id", "context", "network", "ignored"),
    [
        ("lwmecps-v3", "none", "set", ("deployment",)),  # its limits are left
        ("lwmecps-v3", "recurrent", "set", ("deployment", "objective")),
        ("lwmecps-v3", "statistics", "set", ("deployment", "limits", "objective")),  # what is remembered of it
        ("lwmecps-v4", "none", "set", ("deployment", "objective")),
        ("lwmecps-v4", "statistics", "set", ("pair", "node")),
        ("lwmecps-v4", "recurrent", "mlp", ("pair", "node", "deployment", "limits")),
        ("lwmecps-v4", "none", "mlp", ("node",)),
    ],
)
def test_what_is_left_is_enough(env_id: str, context: str, network: str, ignored: tuple[str, ...]) -> None:
    trained(env_id, context, network, ignored)


@pytest.mark.parametrize(
    ("env_id", "context", "ignored", "said"),
    [
        ("lwmecps-v3", "none", ("deployment", "limits"), "(deployment)"),
        ("lwmecps-v3", "recurrent", ("deployment", "limits"), "(deployment)"),
        ("lwmecps-v4", "none", ("node",), "(node)"),
        ("lwmecps-v4", "recurrent", ("pair", "node"), "(node, pair)"),
    ],
)
def test_a_set_network_of_nothing_is_refused_by_name(
    env_id: str, context: str, ignored: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidInput, match="ignore_blocks: nothing would be left") as caught:
        trained(env_id, context, "set", ignored)
    assert said in str(caught.value)
