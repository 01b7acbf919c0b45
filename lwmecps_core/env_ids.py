"""The environments by name, for what has to know no more of them."""

from typing import Literal

ENV_IDS = ("lwmecps-v1", "lwmecps-v2", "lwmecps-v3", "lwmecps-v4")
CONTINUOUS_SUFFIX = "-continuous"
V1, V2, V3, V4 = 1, 2, 3, 4
ALL_ENV_IDS = ENV_IDS + tuple(e + CONTINUOUS_SUFFIX for e in ENV_IDS)
EnvId = Literal[
    "lwmecps-v1",
    "lwmecps-v2",
    "lwmecps-v3",
    "lwmecps-v4",
    "lwmecps-v1-continuous",
    "lwmecps-v2-continuous",
    "lwmecps-v3-continuous",
    "lwmecps-v4-continuous",
]


def version_of(env_id: str) -> int:
    """The number in an environment's id: 4 for `lwmecps-v4-continuous`."""
    return int(env_id.removesuffix(CONTINUOUS_SUFFIX)[-1])
