"""The server's side of TLS, with certificates that may be renewed while it runs."""

import ssl
from pathlib import Path

import grpc

from lwmecps_core.errors import InvalidInput, Violation
from services.common.reloading import Reloaded
from services.common.settings import ServerSettings


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    """Credentials from the settings' files: connections that begin after these changed get the new ones.

    Raises `InvalidInput` when the files can't be used.
    """
    files = [settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file]
    current = Reloaded([file for file in files if file], lambda: _configuration(settings))
    initial = served = current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        before, served = served, current()
        return served if served is not before else None

    return grpc.dynamic_ssl_server_credentials(
        initial,
        changed,  # type: ignore[arg-type]
        require_client_authentication=bool(settings.tls_client_ca_file),
    )


def _configuration(settings: ServerSettings) -> grpc.ServerCertificateConfiguration:
    """What the files hold, once it was proved that certificate and key belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = settings.tls_cert_file
    try:
        context.load_cert_chain(file, settings.tls_key_file, password="")
        ca = None
        if file := settings.tls_client_ca_file:
            context.load_verify_locations(file)
            ca = Path(file).read_bytes()
        pair = (Path(settings.tls_key_file).read_bytes(), Path(settings.tls_cert_file).read_bytes())
    except OSError as error:  # ssl.SSLError is one
        raise InvalidInput(file, [Violation(".", f"no certificate, or none with this key: {error}")]) from None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)
