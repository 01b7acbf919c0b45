"""JSON Web Tokens of an OpenID Connect provider, checked against its keys in a JWKS file."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt

from lwmecps_core.errors import InvalidInput, Violation
from services.common.scopes import Scope
from services.common.tokens import Principal

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key: with a symmetric one, whoever can check a token could make one."""
SKEW_S = 10.0
"""How far the provider's clock may be from ours."""
_SCOPES = {scope.label: scope for scope in Scope if scope}


class Jwts:
    """Tokens that one of `keys` signed for `audience` in the name of `issuer`."""

    def __init__(self, keys: Sequence[jwt.PyJWK], audience: str, issuer: str) -> None:
        self._keys, self._audience, self._issuer = keys, audience, issuer
        # Raised errors are not kept: a stranger's tokens push nobody's out.
        self._verified = lru_cache(maxsize=1024)(self._verify)

    def __call__(self, token: str) -> Principal | None:
        """Whose token it is, with the greatest of the scopes in its claim `scope`; None for one that is not valid."""
        try:
            return self._verified(token)
        except (jwt.PyJWTError, ValueError, OverflowError):
            return None

    def _verify(self, token: str) -> Principal:
        key = self._key(jwt.get_unverified_header(token).get("kid"))
        claims = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self._audience,
            issuer=self._issuer,
            leeway=SKEW_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return Principal(claims["sub"], _scope(claims.get("scope")), float(claims["exp"]) + SKEW_S)

    def _key(self, key_id: str | None) -> jwt.PyJWK:
        """The key that the token names; a token may leave that out where there is but one."""
        for key in self._keys:
            if key.key_id == key_id or (key_id is None and len(self._keys) == 1):
                return key
        raise jwt.InvalidKeyError("no such key")


def read_jwks(file: str, audience: str, issuer: str) -> Jwts:
    """The checker for the keys in a JWKS file; raises `InvalidInput` naming the file, and never what it holds."""
    try:
        found = jwt.PyJWKSet.from_dict(json.loads(Path(file).read_text())).keys
    except (OSError, ValueError, AttributeError, TypeError, jwt.PyJWTError) as error:
        raise InvalidInput(file, [Violation(".", f"is no JSON Web Key Set: {type(error).__name__}")]) from None
    keys = [key for key in found if key.algorithm_name in ALGORITHMS and key.public_key_use != "enc"]
    if not keys:
        raise InvalidInput(file, [Violation("keys", f"none is for signatures by {', '.join(ALGORITHMS)}")])
    return Jwts(keys, audience, issuer)


def _scope(claim: Any) -> Scope:
    words = claim.split() if isinstance(claim, str) else ()
    return max((_SCOPES[word] for word in words if word in _SCOPES), default=Scope.NONE)
