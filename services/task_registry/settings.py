"""Settings of the task registry, from `LWMECPS_REGISTRY_…` variables."""

from dataclasses import field
from typing import Annotated, ClassVar

import sqlalchemy as sa
from pydantic import AfterValidator

from lwmecps_core.config import config
from services.common.settings import Port, ServerSettings

PREFIX = "LWMECPS_REGISTRY_"
DATABASES = "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"


def check_database_url(url: str) -> str:
    """The URL, if it is one of a database that the registry knows; raises `ValueError`, which never tells it."""
    try:
        parsed = sa.make_url(url)
        known = parsed.get_backend_name() in ("sqlite", "postgresql")
        if known:
            parsed.get_dialect().import_dbapi()
    except sa.exc.ArgumentError:
        known = False
    except ImportError as error:
        raise ValueError(f"its driver is not installed ({error.name}): write {DATABASES}") from None
    if not known:
        raise ValueError(f"is no database that the registry knows: write {DATABASES}")
    return url


DatabaseUrl = Annotated[str, AfterValidator(check_database_url)]


@config
class RegistrySettings(ServerSettings):
    """Where the registry listens, and where it keeps what it keeps."""

    prefix: ClassVar[str] = PREFIX
    port: Port = 50051
    database_url: Annotated[str, AfterValidator(check_database_url)] = field(
        default="sqlite:///var/registry.db", repr=False
    )
    """SQLAlchemy URL: `sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`."""
    artefacts_url: str = "var/artefacts"
    """A folder, or an fsspec URL such as `s3://bucket/prefix`."""
