"""Settings of the gateway (environment variables `LWMECPS_GATEWAY_…`)."""

import ssl
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lwmecps_core.config import config
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import Positive
from services.common.settings import Address, Port, Prefixed, is_loopback

PREFIX = "LWMECPS_GATEWAY_"


@config
class GatewaySettings(Prefixed):
    """How to listen, where the services are, and what one request may take.

    TLS to the services is that of every client (`LWMECPS_CLIENT_TLS_…`). There is no token of the gateway's own: who
    calls brings one, and what it allows is decided by the services.
    """

    prefix: ClassVar[str] = PREFIX
    host: str = "127.0.0.1"
    port: Port = 50080
    """0: a free one."""
    registry: Address = "127.0.0.1:50051"
    env: Address = "127.0.0.1:50052"
    learner: Address = "127.0.0.1:50053"
    """Where the services listen."""
    hosts: tuple[str, ...] = ()
    """Names beside addresses and localhost by which a gateway on loopback may be asked; elsewhere any will do."""
    max_body_mib: Annotated[int, Field(ge=1, le=1024)] = 16
    """Largest body of a request."""
    call_timeout_s: Positive = 120.0
    """How long a call may take that is no stream: the first one after an installation compiles the simulator."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Connections and requests at once; those beyond are refused."""
    grace_s: Annotated[float, Field(ge=0, le=600)] = 10.0
    """How long requests may go on after the process was told to end."""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    """Certificate (PEM, with its chain) and key; empty: no TLS."""
    insecure: bool = False
    """Listen on other addresses than loopback also without TLS."""
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if not is_loopback(self.host) and not self.tls_cert_file and not self.insecure:
            raise ValueError(
                f"host {self.host} can be reached from elsewhere: that needs TLS (tls_cert_file, tls_key_file), or "
                "insecure=true where a proxy brings it"
            )
        return self


def check_certificate(settings: GatewaySettings) -> None:
    """Raise `InvalidInput` naming the variable of a certificate that can't be used."""
    if not settings.tls_cert_file:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(settings.tls_cert_file), settings.tls_key_file, password="")
    except OSError as error:  # ssl.SSLError is one
        reason = f"{settings.tls_cert_file}: no certificate, or none with this key: {error}"
        raise InvalidInput("environment", [Violation(settings.variable("tls_cert_file"), reason)]) from None
