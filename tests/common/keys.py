"""Keys for tests: an OpenID Connect provider, and certificates."""

import datetime
import json
import secrets
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from services.common.settings import ServerSettings

AUDIENCE, ISSUER = "lwmecps", "https://login.example"


class Provider:
    """Signs tokens with one key of its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.key_id = secrets.token_hex(4)

    def settings(self, file: Path, **others: Any) -> ServerSettings:
        """Settings of a server that trusts this provider, by the keys that are written to `file`."""
        key = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True) | {"kid": self.key_id, "use": "sig"}
        file.write_text(json.dumps({"keys": [key]}))
        return ServerSettings(jwks_file=str(file), jwt_audience=AUDIENCE, jwt_issuer=ISSUER, **others)

    def claims(self, scope: str, expires_in_s: float = 300, **others: Any) -> dict[str, Any]:
        now = int(time.time())
        made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "iat": now, "exp": now + expires_in_s}
        return {name: value for name, value in (made | {"scope": scope} | others).items() if value is not None}

    def token(self, scope: str, expires_in_s: float = 300, **others: Any) -> str:
        claims = self.claims(scope, expires_in_s, **others)
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self.key_id})


class Authority:
    """Signs certificates for `localhost`, of servers and clients, in PEM files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _name(secrets.token_hex(4))
        self.file = folder / f"ca-{secrets.token_hex(4)}.pem"
        made = _certificate(self._name, self._key.public_key(), self._name, self._key, authority=True)
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, cert: Path, key: Path) -> int:
        """Write a new certificate and its key; return its serial number."""
        own = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(_name("localhost"), own.public_key(), self._name, self._key, authority=False)
        plain = serialization.NoEncryption()
        pkcs8 = serialization.PrivateFormat.PKCS8
        key.write_bytes(own.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
        cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return made.serial_number


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, public: Any, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
