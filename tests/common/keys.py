"""Keys for tests: an OpenID Connect provider, and certificates."""

import json
import secrets
import time
from pathlib import Path
from typing import Any

import jwt
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
