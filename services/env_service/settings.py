"""Settings of the env-service (environment variables `LWMECPS_ENV_…`)."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from lwmecps_core.config import config
from lwmecps_core.specs import NonNegative, Positive

PREFIX = "LWMECPS_ENV_"


@config
class EnvServiceSettings:
    """Bounds of the sessions, and how many collection workers run beside them."""

    max_sessions: Annotated[int, Field(ge=1, le=100_000)] = 256
    session_idle_s: Positive = 600.0
    max_session_numbers: Annotated[int, Field(ge=1)] = 2**24
    """Largest environments × deployments × nodes × (replicas + 1) of one session."""
    max_streams: Annotated[int, Field(ge=1, le=1000)] = 16
    """How many `StepStream` calls are served at once; each keeps a thread."""
    profiles_root: Path | None = None
    """Folder with one folder for each recorded load profile; None: clients can't name profiles."""
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Collection worker processes."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Where the workers get their requests."""
    drain_s: NonNegative = 10.0
    """How long calls and workers may finish after SIGTERM."""
