"""Who may call what: every RPC of every contract, with every kind of token."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
import yaml
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from lwmecps_core.errors import InvalidInput
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2
from services.common import reloading
from services.common.auth import guard
from services.common.client import connect
from services.common.scopes import Scope, scope_of
from services.common.server import RunningServer, Service, start
from services.common.settings import ClientSettings, ServerSettings
from services.common.tokens import new_entry
from tests.common.keys import AUDIENCE, ISSUER, Provider

SERVICES = [
    service for file in (env_pb2, learner_pb2, registry_pb2) for service in file.DESCRIPTOR.services_by_name.values()
]
METHODS = [method for service in SERVICES for method in service.methods]
OK, UNAUTHENTICATED, DENIED = grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
CLUSTER = "/lwmecps.env.v1.EnvService/GetClusterState"


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def stub_service(descriptor: ServiceDescriptor) -> Service:
    """The service, with methods that take what comes and answer one empty message."""
    handlers = {}
    for method in descriptor.methods:
        answer = GetMessageClass(method.output_type)
        codecs: dict[str, Any] = {
            "request_deserializer": GetMessageClass(method.input_type).FromString,
            "response_serializer": answer.SerializeToString,
        }
        kind = f"{_kind(method.client_streaming)}_{_kind(method.server_streaming)}_rpc_method_handler"

        def one(request: Any, context: Any, answer: Any = answer) -> Any:
            return answer()

        def several(request: Any, context: Any, answer: Any = answer) -> Iterator[Any]:
            yield answer()

        handlers[method.name] = getattr(grpc, kind)(several if method.server_streaming else one, **codecs)
    return Service(
        descriptor,
        handlers,
        lambda handlers, server: server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(descriptor.full_name, handlers),)
        ),
    )


def _kind(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def call(channel: grpc.Channel, method: MethodDescriptor, token: str | None) -> grpc.StatusCode:
    """The status of a call of `method` with an empty request; a request's own rules are checked after the token."""
    multi = getattr(channel, f"{_kind(method.client_streaming)}_{_kind(method.server_streaming)}")(path(method))
    request: Any = iter([b""]) if method.client_streaming else b""
    metadata = [("authorization", f"Bearer {token}")] if token is not None else []
    try:
        answer = multi(request, timeout=20, metadata=metadata)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return OK if error.code() is grpc.StatusCode.INVALID_ARGUMENT else error.code()
    return OK


@dataclass(frozen=True)
class World:
    """A server of all contracts that takes tokens from a file and from a provider, and what makes tokens for it."""

    channel: grpc.Channel
    provider: Provider
    listed: dict[str, str]

    def token(self, kind: str, needed: Scope) -> str | None:
        below = Scope(needed - 1).label
        return {
            "none": lambda: None,
            "empty": lambda: "",
            "wrong": lambda: "lwmecps_" + "A" * 43,
            "wrong JWT": lambda: Provider().token(needed.label),
            "expired": lambda: self.listed[f"expired {needed.label}"],
            "expired JWT": lambda: self.provider.token(needed.label, expires_in_s=-60),
            "wrong scope": lambda: self.listed.get(below) or self.provider.token("openid profile"),
            "wrong scope, JWT": lambda: self.provider.token(below),
            "right": lambda: self.listed[needed.label],
            "right JWT": lambda: self.provider.token(f"openid {needed.label}"),
            "more than right": lambda: self.listed["admin"],
        }[kind]()


OUTCOMES = {
    "none": UNAUTHENTICATED,
    "empty": UNAUTHENTICATED,
    "wrong": UNAUTHENTICATED,
    "wrong JWT": UNAUTHENTICATED,
    "expired": UNAUTHENTICATED,
    "expired JWT": UNAUTHENTICATED,
    "wrong scope": DENIED,
    "wrong scope, JWT": DENIED,
    "right": OK,
    "right JWT": OK,
    "more than right": OK,
}


def write_tokens(file: Path) -> dict[str, str]:
    past = datetime.now(UTC) - timedelta(minutes=1)
    made: dict[str, str] = {}
    lines = []
    for scope in ("read", "run", "admin"):
        made[scope], line = new_entry(f"somebody to {scope}", scope, datetime.now(UTC) + timedelta(hours=1))
        made[f"expired {scope}"], old = new_entry("somebody of old", scope, past)
        lines += [line, old]
    file.write_text("\n".join(lines))
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("auth")
    provider = Provider()
    listed = write_tokens(folder / "tokens.yaml")
    settings = provider.settings(folder / "jwks.json", tokens_file=str(folder / "tokens.yaml"))
    server = start(settings, [stub_service(service) for service in SERVICES])
    with grpc.insecure_channel(server.address) as channel:
        yield World(channel, provider, listed)
    server.drain(0)


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("method", METHODS, ids=path)
def test_every_rpc_with_every_kind_of_token(world: World, method: MethodDescriptor, kind: str) -> None:
    token = world.token(kind, scope_of(path(method)))
    assert call(world.channel, method, token) is OUTCOMES[kind]


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("GetTask", Scope.READ),
        ("WatchRun", Scope.READ),
        ("DownloadPolicyWeights", Scope.READ),
        ("StartTraining", Scope.RUN),
        ("StepSession", Scope.RUN),
        ("CancelRun", Scope.RUN),
        ("Act", Scope.RUN),
        ("PutMemory", Scope.RUN),
        ("DeleteTask", Scope.ADMIN),
        ("ClaimRun", Scope.ADMIN),
        ("Heartbeat", Scope.ADMIN),
        ("ReportRun", Scope.ADMIN),
        ("UploadPolicyWeights", Scope.ADMIN),
        ("UploadCheckpoint", Scope.ADMIN),
        ("CreatePolicy", Scope.ADMIN),
        ("Getaway", Scope.ADMIN),
        ("Obliterate", Scope.ADMIN),
        ("get", Scope.ADMIN),
        ("", Scope.ADMIN),
    ],
)
def test_a_verb_that_nobody_listed_needs_admin(name: str, scope: Scope) -> None:
    assert scope_of(f"/lwmecps.x.v1.X/{name}") is scope


def test_a_method_that_does_not_exist_is_not_told_from_others_without_a_token(world: World) -> None:
    unknown = world.channel.unary_unary("/lwmecps.env.v1.EnvService/Nothing")
    with pytest.raises(grpc.RpcError) as caught:
        unknown(b"", timeout=20)
    assert caught.value.code() is UNAUTHENTICATED


def test_health_is_for_everybody_and_reflection_for_readers(world: World) -> None:
    health_pb2_grpc.HealthStub(world.channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    reflected = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    for token, expected in ((None, UNAUTHENTICATED), (world.provider.token("openid"), DENIED)):
        metadata = [("authorization", f"Bearer {token}")] if token else []
        with pytest.raises(grpc.RpcError) as caught:
            list(world.channel.stream_stream(reflected)(iter([b""]), timeout=20, metadata=metadata))
        assert caught.value.code() is expected
    assert list(
        world.channel.stream_stream(reflected)(
            iter([b""]), timeout=20, metadata=[("authorization", f"Bearer {world.listed['read']}")]
        )
    )


def test_reflection_can_be_turned_off(serve: Callable[..., RunningServer]) -> None:
    server = serve(ServerSettings(reflection=False))
    with connect(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        ProtoReflectionDescriptorDatabase(channel).get_services()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@cache
def _provider() -> Provider:
    return Provider()


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "others"},
        {"iss": "https://elsewhere.example"},
        {"exp": None},
        {"sub": None},
        {"aud": None},
        {"nbf": 2**40},
        {"exp": "soon"},
    ],
    ids=str,
)
def test_a_json_web_token_with_other_claims_is_no_token(claims: dict[str, Any], tmp_path: Path) -> None:
    check = guard(_provider().settings(tmp_path / "jwks.json"))
    assert check is not None
    assert check.principal([("authorization", f"Bearer {_provider().token('admin')}")])
    assert check.principal([("authorization", f"Bearer {_provider().token('admin', **claims)}")]) is None


def test_a_json_web_token_with_another_algorithm_is_no_token(tmp_path: Path) -> None:
    provider = _provider()
    check = guard(provider.settings(tmp_path / "jwks.json"))
    assert check is not None
    claims = provider.claims("admin")
    headers = {"kid": provider.key_id}
    forged = [
        jwt.encode(claims, key=None, algorithm="none", headers=headers),
        jwt.encode(claims, key="x" * 64, algorithm="HS256", headers=headers),
        provider.token("admin").rpartition(".")[0] + ".",
    ]
    assert [check.principal([("authorization", f"Bearer {token}")]) for token in forged] == [None] * 3


def test_symmetric_keys_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text('{"keys": [{"kty": "oct", "k": "aHVudGVyMmh1bnRlcjI", "kid": "a"}]}')
    with pytest.raises(InvalidInput, match="keys") as caught:
        guard(ServerSettings(jwks_file=str(file), jwt_audience=AUDIENCE, jwt_issuer=ISSUER))
    assert "aHVudGVyMmh1bnRlcjI" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "- {name: a}",
        "- {name: a, sha256: secret, scope: run}",
        "- {sha256: *a}",
        "[1",
        "- [secret]",
        "- {name: a, sha256: " + 64 * "0" + ", scope: root}",
        "- {name: a, sha256: " + 64 * "0" + ", scope: run, expires: 2027-01-31}",
    ],
)
def test_a_bad_tokens_file_is_named_and_not_quoted(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=r"tokens\.yaml") as caught:
        guard(ServerSettings(tokens_file=str(file)))
    assert "secret" not in str(caught.value)


def test_a_rotated_token_and_a_rotated_key_take_effect_and_a_bad_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "CHECK_S", 0.0)
    tokens, old, new = tmp_path / "tokens.yaml", Provider(), Provider()
    settings = old.settings(tmp_path / "jwks.json", tokens_file=str(tokens))
    first, line = new_entry("first", "run")
    second, other = new_entry("second", "run")
    tokens.write_text(line)
    check = guard(settings)
    assert check is not None

    def known(*given: str) -> list[bool]:
        return [check.principal([("authorization", f"Bearer {token}")]) is not None for token in given]

    all_of = (first, second, old.token("run"), new.token("run"))
    assert known(*all_of) == [True, False, True, False]
    tokens.write_text(f"{line}\n{other}")
    assert known(*all_of) == [True, True, True, False]
    tokens.write_text(other)
    new.settings(tmp_path / "jwks.json")
    assert known(*all_of) == [False, True, False, True]
    tokens.write_text("- {name: ")
    (tmp_path / "jwks.json").unlink()
    assert known(*all_of) == [False, True, False, True]


def test_a_token_ends_with_its_time_though_it_was_good_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = guard(_provider().settings(tmp_path / "jwks.json"))
    assert check is not None
    metadata = [("authorization", f"Bearer {_provider().token('run', expires_in_s=5)}")]
    assert check.principal(metadata)
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    assert check.principal(metadata) is None


def test_a_client_takes_its_token_from_a_file_that_may_change(
    serve: Callable[..., RunningServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "CHECK_S", 0.0)
    server = serve(ServerSettings(token="second"))
    file = tmp_path / "token"
    file.write_text("first\n")
    with connect(server.address, ClientSettings(token_file=str(file))) as channel:
        ask = channel.unary_unary(CLUSTER)
        for token, code in (("first", UNAUTHENTICATED), ("second", grpc.StatusCode.INVALID_ARGUMENT)):
            file.write_text(f"{token}\n")
            with pytest.raises(grpc.RpcError) as caught:
                ask(b"", timeout=20)
            assert caught.value.code() is code


def test_what_is_kept_of_a_token_is_not_the_token() -> None:
    token, line = new_entry("alice", "admin")
    (entry,) = yaml.safe_load(line)
    assert token not in line and entry.keys() == {"name", "sha256", "scope"}
    with pytest.raises(InvalidInput, match="name"):
        new_entry("", "admin")
