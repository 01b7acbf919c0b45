"""Bearer tokens that are listed in a file, as SHA-256, which is enough for tokens of 256 random bits.

The file is a YAML list: `- {name: alice, sha256: …, scope: read, run or admin, expires: 2027-01-31T00:00:00Z}`, where
`expires` may be left out.
"""

import hashlib
import hmac
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AwareDatetime, Field

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.reading import UniqueLoader
from services.common.scopes import Scope

ScopeName = Literal["read", "run", "admin"]


@dataclass(frozen=True)
class Principal:
    """Who calls, what he may do, and until when (Unix seconds)."""

    name: str
    scope: Scope
    expires_s: float = math.inf

    @property
    def client(self) -> str:
        """The name under which his calls are counted; empty, and so without limits, for learners and administrators."""
        return "" if self.scope is Scope.ADMIN else self.name


@config
class TokenEntry:
    """One token in the file."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scope: ScopeName
    expires: AwareDatetime | None = None


@dataclass(frozen=True)
class KnownTokens:
    """Tokens by their digest."""

    known: Sequence[tuple[bytes, Principal]]

    def __call__(self, token: str) -> Principal | None:
        """Whose token it is; compares with all of them in constant time, so that the time says nothing about any."""
        given, found = digest(token), None
        for expected, principal in self.known:
            if hmac.compare_digest(given, expected):
                found = principal
        return found


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def new_entry(name: str, scope: ScopeName, expires: datetime | None = None) -> tuple[str, str]:
    """A new token, and the line for the file that lets it in; raises `InvalidInput` for a bad name or time."""
    token = f"lwmecps_{secrets.token_urlsafe(32)}"
    data = {"name": name, "sha256": digest(token).hex(), "scope": scope}
    if expires is not None:
        data["expires"] = expires.isoformat(timespec="seconds")
    parse(TokenEntry, data, "token")
    return token, yaml.safe_dump([data], default_flow_style=None, sort_keys=False, width=1000).strip()


def read_tokens(file: str) -> KnownTokens:
    """The tokens in a file; raises `InvalidInput` naming the file, and never what it holds."""
    try:
        data = yaml.load(Path(file).read_text(), Loader=UniqueLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(file, [Violation(".", f"can't be read: {type(error).__name__}")]) from None
    entries = parse(list[TokenEntry], data, file)
    return KnownTokens([(bytes.fromhex(entry.sha256), _principal(entry)) for entry in entries])


def _principal(entry: TokenEntry) -> Principal:
    expires_s = entry.expires.timestamp() if entry.expires else math.inf
    return Principal(entry.name, Scope[entry.scope.upper()], expires_s)
