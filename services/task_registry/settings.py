"""Settings of the task registry, from `LWMECPS_REGISTRY_…` variables."""

from dataclasses import field

from lwmecps_core.config import config
from services.common.settings import Port, ServerSettings

PREFIX = "LWMECPS_REGISTRY_"


@config
class RegistrySettings(ServerSettings):
    """Where the registry listens, and where it keeps what it keeps."""

    port: Port = 50051
    database_url: str = field(default="sqlite:///var/registry.db", repr=False)
    """SQLAlchemy URL: `sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`."""
    artefacts_url: str = "var/artefacts"
    """A folder, or an fsspec URL such as `s3://bucket/prefix`."""
