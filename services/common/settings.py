"""Settings of processes, from environment variables; every setting has a default."""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, cast

from pydantic import AfterValidator, Field, model_validator

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, Violation

T = TypeVar("T")
CLI = "LWMECPS_CLI_"
PREFIXES = tuple(f"LWMECPS_{part}_" for part in ("REGISTRY", "ENV", "LEARNER", "GATEWAY", "CLIENT", "WORKER", "CLI"))
"""What variables of settings begin with."""
OTHERS = ("LWMECPS_TRACKING", *(CLI + name for name in ("REGISTRY", "ENV", "LEARNER", "GATEWAY")))
"""Variables that belong to no class of settings."""
UNSET = "no such setting: unset it"
Port = Annotated[int, Field(ge=0, le=65_535)]


def check_address(text: str) -> str:
    """`host:port`, as it was given; raises `ValueError` for anything else."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65_535:
        raise ValueError(f"{text!r} is no host:port")
    return text


Address = Annotated[str, AfterValidator(check_address)]
"""A setting that says where another service listens."""


class Prefixed:
    """Settings whose variables all begin with `prefix`."""

    prefix: ClassVar[str] = ""

    @classmethod
    def variable(cls, field: str) -> str:
        """The variable of a setting."""
        return cls.prefix + field.upper()


@config
class ServerSettings(Prefixed):
    """How a gRPC server listens; a service's own settings inherit these."""

    host: str = "127.0.0.1"
    port: Port = 0
    """0: a free one."""
    metrics_port: Port | None = None
    """Port of the HTTP server for Prometheus (0: a free one); None: no metrics server."""
    workers: Annotated[int, Field(ge=2, le=1000)] = 32
    """Threads, and so calls at once."""
    max_streams: Annotated[int, Field(ge=1, le=999)] = 24
    """Streams at once: each holds a thread for its whole life, so some must be left for other calls."""
    max_streams_per_client: Annotated[int, Field(ge=1, le=999)] = 16
    """Of one client, which is the owner of a token (but of scope admin) or certificate, else a host."""
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Calls that wait for a thread; those beyond are refused at once."""
    max_calls_per_connection: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Calls at once on one client's connection; the client holds those beyond back."""
    max_calls_per_client: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Calls at once of one token's owner (but of scope admin), over all connections; those beyond are refused."""
    max_message_mib: Annotated[int, Field(ge=1, le=1024)] = 16
    grace_s: Annotated[float, Field(ge=0, le=600)] = 10.0
    """How long calls may go on after the process was told to end."""
    token: str = field(default="", repr=False)
    """A bearer token with the scope admin, for simple set-ups; empty: none."""
    tokens_file: str = ""
    """Bearer tokens as SHA-256, with names and scopes (see `tokens`); read again when it changes; empty: none."""
    jwks_file: str = ""
    """Keys of the provider whose JSON Web Tokens are bearer tokens too; read again when it changes; empty: none."""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    """Claims `aud` and `iss` that such a token must have."""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    """Certificate (PEM, with its chain) and key; read again when they change; empty: no TLS."""
    tls_client_ca_file: str = ""
    """Clients must show a certificate that this authority signed (mTLS); empty: they need none."""
    insecure: bool = False
    """Listen on other addresses than loopback also without TLS or without knowing who calls."""
    reflection: bool = True
    """Tell clients the contracts by gRPC reflection."""
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_streams >= self.workers:
            raise ValueError("max_streams must be below workers")
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError("tls_client_ca_file needs tls_cert_file")
        if len({bool(self.jwks_file), bool(self.jwt_audience), bool(self.jwt_issuer)}) > 1:
            raise ValueError("jwks_file, jwt_audience and jwt_issuer go together")
        if self.exposed and not self.insecure:
            raise ValueError(
                f"host {self.host} can be reached from elsewhere: that needs TLS (tls_cert_file, tls_key_file) and "
                "callers that are known (tokens_file, jwks_file, token or tls_client_ca_file), or insecure=true"
            )
        return self

    @property
    def exposed(self) -> bool:
        """Whether others than this machine's users reach a server without TLS, or one that does not know who calls."""
        known = self.token or self.tokens_file or self.jwks_file or self.tls_client_ca_file
        return not is_loopback(self.host) and not (self.tls_cert_file and known)


def sendable(token: str) -> bool:
    """Whether calls can carry a token."""
    return token.isascii() and token.isprintable()


@config
class ClientSettings(Prefixed):
    """How a client reaches our services."""

    prefix: ClassVar[str] = "LWMECPS_CLIENT_"
    token: str = field(default="", repr=False)
    """Bearer token that every call carries; empty: none."""
    token_file: str = ""
    """A file that holds it instead; read again when it changes."""
    tls_ca_file: str = ""
    """Authority that signed the servers' certificates; empty: no TLS."""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    """Certificate and key that the client shows (mTLS); empty: none."""
    max_message_mib: Annotated[int, Field(ge=1, le=1024)] = 16

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.tls_cert_file) != bool(self.tls_key_file) or (self.tls_cert_file and not self.tls_ca_file):
            raise ValueError("tls_cert_file and tls_key_file go together, and need tls_ca_file")
        if self.token and self.token_file:
            raise ValueError("token and token_file exclude each other")
        if not sendable(self.token):
            raise ValueError("token must be printable ASCII text")
        return self


def read(cls: type[T], prefix: str, environ: Mapping[str, str] = os.environ) -> T:
    """Build a settings class from the variables PREFIX + FIELD; raises `InvalidInput` naming each bad variable.

    A variable with the prefix that is no setting is refused: it is a typing error. Tuples are comma-separated; an empty
    variable counts as unset.
    """
    known = {prefix + f.name.upper(): f for f in fields(cast(Any, cls))}
    given = {name: value for name, value in environ.items() if name.startswith(prefix) and value}
    unknown = [Violation(name, _no_such(name, known)) for name in given if name not in known]
    if unknown:
        raise InvalidInput("environment", unknown)
    data = {known[name].name: _split(known[name].type, value) for name, value in given.items()}
    try:
        return cast(T, parse(cls, data, "environment"))
    except InvalidInput as error:
        names = [f.name for f in known.values()]
        raise InvalidInput("environment", [_of_variables(v, prefix, names) for v in error.violations]) from None


def check_names(environ: Mapping[str, str] = os.environ) -> None:
    """Raise `InvalidInput` naming each variable of ours that no process of ours reads: it is a typing error."""
    names = [name for name, value in environ.items() if value and name.startswith("LWMECPS_")]
    wrong = [name for name in names if not name.startswith(PREFIXES) and name not in OTHERS]
    wrong += [name for name in names if name.startswith(CLI) and name not in OTHERS]
    if wrong:
        raise InvalidInput("environment", [Violation(name, _no_such(name, OTHERS + PREFIXES)) for name in wrong])


def _no_such(name: str, known: Iterable[str]) -> str:
    like = difflib.get_close_matches(name, list(known), n=1)
    return f"no such setting: did you mean {like[0]}{'…' if like[0].endswith('_') else ''}?" if like else UNSET


def _of_variables(violation: Violation, prefix: str, names: Sequence[str]) -> Violation:
    """A violation of a field, or of several together, in terms of the variables that they come from."""
    if field := violation.field.strip("."):
        return Violation(prefix + re.split(r"[.\[]", field)[0].upper(), violation.reason)
    of_field = re.compile(rf"\b({'|'.join(names)})\b")
    reason = of_field.sub(lambda m: prefix + m[1].upper(), violation.reason)
    first = re.search(rf"{prefix}\w+", reason)
    return Violation(first[0] if first else prefix, reason)


def check_files(settings: Any) -> None:
    """Raise `InvalidInput` naming the variable of every file among the settings that can't be read."""
    wrong = []
    for setting in fields(settings):
        path = getattr(settings, setting.name)
        if setting.name.endswith("_file") and path:
            try:
                Path(path).read_bytes()
            except OSError as error:
                reason = f"{path} can't be read: {error.strerror}"
                wrong.append(Violation(settings.variable(setting.name), reason))
    if wrong:
        raise InvalidInput("environment", wrong)


@contextmanager
def files_named(settings: Any) -> Iterator[None]:
    """What is wrong inside with a file among the settings is said of its variable."""
    try:
        yield
    except InvalidInput as error:
        found = [
            f.name for f in fields(settings) if f.name.endswith("_file") and getattr(settings, f.name) == error.source
        ]
        if not found:
            raise
        wrong = [f"{error.source}: {v}" for v in error.violations]
        variable = settings.variable(found[0])
        raise InvalidInput("environment", [Violation(variable, reason) for reason in wrong]) from None


def without_password(url: str) -> str:
    """`scheme://host:port/…` of a URL that may hold a user and a password."""
    scheme, slashes, rest = url.rpartition("://")
    return scheme + slashes + rest.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    """Whether a host is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _split(kind: object, value: str) -> Any:
    return [part.strip() for part in value.split(",")] if str(kind).startswith("tuple") else value
