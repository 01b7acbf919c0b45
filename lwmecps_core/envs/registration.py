"""Makes the environments known to Gymnasium: `gymnasium.make("lwmecps-v3", task=…)`, `gymnasium.make_vec(…)`."""

import gymnasium

from lwmecps_core.specs import ALL_ENV_IDS


def register() -> None:
    """Register every environment id; again does nothing."""
    for env_id in ALL_ENV_IDS:
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="lwmecps_core.envs.placement:make_env",
                vector_entry_point="lwmecps_core.envs.batched:PlacementVectorEnv",
                kwargs={"env_id": env_id},
            )
