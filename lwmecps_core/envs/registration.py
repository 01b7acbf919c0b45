"""Makes the environments known to Gymnasium: `gymnasium.make("lwmecps/v3", task=…)`, `gymnasium.make_vec(…)`.

v1 to v4 are four problems. Gymnasium takes `lwmecps-v3` for a revision that `lwmecps-v4` has replaced, and warns;
`lwmecps/v3` is a name to it. The former ids lead to the same entries, and warn no more.
"""

from lwmecps_core.specs import ALL_ENV_IDS


def register() -> None:
    """Register every environment under both of its ids; again does nothing."""
    import gymnasium  # here, since it is its import that may call this

    for env_id in ALL_ENV_IDS:
        name = env_id.replace("-", "/", 1)
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="lwmecps_core.envs.placement:make_env",
                vector_entry_point="lwmecps_core.envs.batched:PlacementVectorEnv",
                kwargs={"env_id": env_id},
            )
        gymnasium.registry[env_id] = gymnasium.registry[name]
