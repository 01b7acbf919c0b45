"""Settings of the learner-service (environment variables `LWMECPS_LEARNER_…`)."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from lwmecps_core.config import config
from lwmecps_core.specs import Positive
from services.common.local_redis import RedisUrl
from services.common.settings import Address, Port, ServerSettings

PREFIX = "LWMECPS_LEARNER_"
CLIENT_PREFIX = "LWMECPS_CLIENT_"


@config
class LearnerSettings(ServerSettings):
    """How to listen, where the registry and Redis are, and how runs are worked on."""

    prefix: ClassVar[str] = PREFIX
    port: Port = 50053
    max_streams: Annotated[int, Field(ge=1, le=999)] = 12
    """Fewer than the registry grants one client: each watcher here is one there, and so are uploads of checkpoints."""
    registry: Address = "127.0.0.1:50051"
    """Address of the task-registry, `host:port`."""
    env: Address = "127.0.0.1:50052"
    """Address of the env-service, `host:port`: what adapts to a real cluster works through its sessions."""
    redis_url: RedisUrl = field(default="redis://127.0.0.1:6379/0", repr=False)
    """Where rollouts are asked for."""
    slots: Annotated[int, Field(ge=0, le=64)] = 2
    """Runs that are worked on at once; 0: start runs and act only."""
    work_directory: Path = Path("out/learner")
    """Where trackers write, and profiles of runs."""
    lease_s: Annotated[float, Field(ge=3, le=3600)] = 15.0
    """How long after this learner's last sign of life another one may take its runs."""
    checkpoint_every_s: Positive = 20.0
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 100
    rollout_timeout_s: Positive = 300.0
    """A run fails when its rollouts show no sign of life for so long."""
    policy_cache: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Policies that `Act` keeps in memory."""
