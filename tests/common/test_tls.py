"""Who gets through TLS, and certificates that are renewed while a server runs."""

import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from lwmecps_core.errors import InvalidInput
from protos.lwmecps.env.v1 import env_pb2, env_pb2_grpc
from services.common import reloading
from services.common.client import connect
from services.common.server import RunningServer
from services.common.settings import ClientSettings, ServerSettings
from tests.common.keys import Authority

CLOSE = env_pb2.CloseSessionRequest(session_id="s")
Serve = Callable[..., RunningServer]


def _call(server: RunningServer, settings: ClientSettings, timeout_s: float = 20.0) -> None:
    with connect(f"localhost:{server.port}", settings) as channel:
        env_pb2_grpc.EnvServiceStub(channel).CloseSession(CLOSE, timeout=timeout_s)


def _serial(server: RunningServer) -> int:
    pem = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=20)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_only_who_trusts_the_server_and_is_trusted_by_it_gets_through(serve: Serve, tmp_path: Path) -> None:
    ca, others = Authority(tmp_path), Authority(tmp_path)
    cert, key, theirs, their_key = (tmp_path / name for name in ("cert.pem", "key.pem", "theirs.pem", "theirs.key"))
    ca.issue(cert, key)
    others.issue(theirs, their_key)
    server = serve(ServerSettings(tls_cert_file=str(cert), tls_key_file=str(key), tls_client_ca_file=str(ca.file)))
    mine = {"tls_cert_file": str(cert), "tls_key_file": str(key)}
    _call(server, ClientSettings(tls_ca_file=str(ca.file), **mine))
    strangers = (
        ClientSettings(tls_ca_file=str(ca.file), tls_cert_file=str(theirs), tls_key_file=str(their_key)),
        ClientSettings(tls_ca_file=str(others.file), **mine),
        ClientSettings(tls_ca_file=str(ca.file)),
        ClientSettings(),
    )
    for stranger in strangers:
        with pytest.raises(grpc.RpcError):
            _call(server, stranger, 2.0)


def test_a_renewed_certificate_serves_new_connections_and_a_bad_one_changes_nothing(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "CHECK_S", 0.0)
    ca = Authority(tmp_path)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    first = ca.issue(cert, key)
    server = serve(ServerSettings(tls_cert_file=str(cert), tls_key_file=str(key)))
    settings = ClientSettings(tls_ca_file=str(ca.file))
    with connect(f"localhost:{server.port}", settings) as channel:
        stub = env_pb2_grpc.EnvServiceStub(channel)
        stub.CloseSession(CLOSE, timeout=20)
        assert _serial(server) == first
        second = ca.issue(cert, key)
        assert first != second == _serial(server) == _serial(server)
        ca.issue(cert, tmp_path / "another.key")  # a certificate that the key does not belong to
        assert _serial(server) == second
        cert.unlink()
        assert _serial(server) == second
        stub.CloseSession(CLOSE, timeout=20)  # the open connection outlived all of it
    _call(server, settings)


def test_a_new_authority_of_clients_shuts_the_former_ones_clients_out(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "CHECK_S", 0.0)
    ca, later = Authority(tmp_path), Authority(tmp_path)
    cert, key, trusted = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "clients.pem"
    ca.issue(cert, key)
    trusted.write_bytes(ca.file.read_bytes())
    server = serve(ServerSettings(tls_cert_file=str(cert), tls_key_file=str(key), tls_client_ca_file=str(trusted)))
    settings = ClientSettings(tls_ca_file=str(ca.file), tls_cert_file=str(cert), tls_key_file=str(key))
    _call(server, settings)
    trusted.write_bytes(later.file.read_bytes())
    with pytest.raises(grpc.RpcError):
        _call(server, settings, 2.0)


def test_a_server_does_not_start_without_a_certificate_that_fits_its_key(serve: Serve, tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    ca.issue(cert, key)
    ca.issue(cert, tmp_path / "another.key")
    with pytest.raises(InvalidInput, match=r"cert\.pem"):
        serve(ServerSettings(tls_cert_file=str(cert), tls_key_file=str(key)))
