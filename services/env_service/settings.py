"""Settings of the env-service (environment variables `LWMECPS_ENV_…`)."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from lwmecps_core.config import config
from lwmecps_core.specs import Positive
from services.common.local_redis import RedisUrl
from services.common.settings import Port, Prefixed, ServerSettings

PREFIX, WORKER_PREFIX = "LWMECPS_ENV_", "LWMECPS_WORKER_"


@config
class EnvServiceSettings(ServerSettings):
    """How to listen, bounds of the sessions, and how many collection workers run beside them."""

    prefix: ClassVar[str] = PREFIX
    port: Port = 50052
    max_sessions: Annotated[int, Field(ge=1, le=100_000)] = 256
    session_idle_s: Positive = 600.0
    """A session that nobody used for so long is closed."""
    max_session_numbers: Annotated[int, Field(ge=1)] = 2**24
    """How much one session may keep (see `check_size`): environments × deployments × nodes × replica counts, …"""
    max_numbers: Annotated[int, Field(ge=1)] = 2**26
    """How much all sessions together may keep; a number takes 10 to 25 bytes with all that comes with it."""
    profiles_root: Path | None = None
    """Folder with one folder for each recorded load profile; None: clients can't name profiles."""
    collection_workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Collection worker processes; 0: sessions only, and Redis is not needed."""
    redis_url: RedisUrl = field(default="redis://127.0.0.1:6379/0", repr=False)
    """Where the workers get their requests."""


@config
class WorkerSettings(Prefixed):
    """Times of a worker (environment variables `LWMECPS_WORKER_…`).

    A request that a worker has is taken over by another `claim_idle_s` after its last sign of life; signs come every
    `heartbeat_s`. `publish_timeout_s` is how long it waits for room in a run's stream.
    """

    prefix: ClassVar[str] = WORKER_PREFIX
    block_s: Positive = 0.2
    heartbeat_s: Positive = 1.0
    claim_idle_s: Positive = 10.0
    claim_every_s: Positive = 1.0
    publish_timeout_s: Positive = 60.0
