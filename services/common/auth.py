"""Who may call what: the decision before every call of a server that asks for tokens."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import structlog

from services.common.reloading import Reloaded
from services.common.scopes import Scope, scope_of
from services.common.settings import ServerSettings
from services.common.tokens import KnownTokens, Principal, digest, read_tokens

HEALTH = "/grpc.health.v1.Health/"
"""Health is for everybody: probes have no token."""
_log = structlog.get_logger(__name__)

Source = Callable[[], Callable[[str], Principal | None]]
"""Gives the present way to know a token's owner (it changes with its file)."""


@dataclass(frozen=True)
class AccessGuard:
    """Refuses calls, except of health, without a token that one of `sources` knows and whose scope is enough."""

    sources: Sequence[Source]

    def __call__(self, method: str, metadata: Iterable[tuple[str, Any]]) -> tuple[Any, str]:
        """The handler that refuses the call, telling no more than what was needed, or None and the caller's name
        (see `Principal.client`; empty for health).
        """
        if method.startswith(HEALTH):
            return None, ""
        principal = self.principal(metadata)
        needed = scope_of(method)
        if principal is None:
            _log.info("call refused", method=method, code="UNAUTHENTICATED")
            return _UNAUTHENTICATED, ""
        if principal.scope < needed:
            _log.info("call refused", method=method, code="PERMISSION_DENIED", caller=principal.name)
            return _DENIED[needed], ""
        return None, principal.client

    def principal(self, metadata: Iterable[tuple[str, Any]]) -> Principal | None:
        """Who calls; None without a token, or with one that is unknown or has expired."""
        scheme, _, token = next((str(value) for key, value in metadata if key == "authorization"), "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        for source in self.sources:
            principal = source()(token)
            if principal is not None and time.time() < principal.expires_s:
                return principal
        return None


def guard(settings: ServerSettings) -> AccessGuard | None:
    """The guard that the settings ask for, None where they name no tokens; raises `InvalidInput` for a bad file."""
    sources: list[Source] = []
    if settings.token:
        only = KnownTokens([(digest(settings.token), Principal("token", Scope.ADMIN))])
        sources.append(lambda: only)
    if file := settings.tokens_file:
        sources.append(Reloaded([file], partial(read_tokens, file)))
    if file := settings.jwks_file:
        from services.common.jwts import read_jwks  # here, because it loads much that few servers need

        sources.append(Reloaded([file], partial(read_jwks, file, settings.jwt_audience, settings.jwt_issuer)))
    return AccessGuard(sources) if sources else None


def _refusing(code: grpc.StatusCode, text: str) -> Any:
    def refuse(_request: Any, context: grpc.ServicerContext) -> None:
        context.abort(code, text)

    return grpc.unary_unary_rpc_method_handler(refuse)


_UNAUTHENTICATED = _refusing(grpc.StatusCode.UNAUTHENTICATED, "a valid bearer token is needed")
_DENIED = {
    scope: _refusing(grpc.StatusCode.PERMISSION_DENIED, f"this needs the scope {scope.label}") for scope in Scope
}
