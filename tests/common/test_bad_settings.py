"""Every variable of every service with bad values: a line that names it and says what to do, a code, no traceback."""

import importlib
import os
import socket
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from lwmecps_core.config import settings_of
from lwmecps_core.errors import InvalidInput
from services.common.client import connect
from services.common.codes import BAD_INPUT, UNREACHABLE
from services.common.settings import ClientSettings, check_names, read
from services.common.starting import begin
from services.env_service.settings import EnvServiceSettings, WorkerSettings
from services.gateway.settings import GatewaySettings
from services.learner_service.settings import LearnerSettings
from services.task_registry.settings import RegistrySettings

MODULES = {
    RegistrySettings: "services.task_registry.__main__",
    EnvServiceSettings: "services.env_service.__main__",
    LearnerSettings: "services.learner_service.__main__",
    GatewaySettings: "services.gateway.__main__",
}
NOWHERE = "/proc/nothing/here"
BAD: dict[str, tuple[str, ...]] = {
    "host": ("no.such.host.invalid", "0.0.0.0", "203.0.113.7"),
    "port": ("x", "-1", "65536", "tcp://10.0.0.1:50051", "TAKEN"),
    "metrics_port": ("x", "65536", "TAKEN"),
    "tokens_file": (NOWHERE, "GARBAGE"),
    "jwks_file": (NOWHERE,),
    "jwt_audience": ("somebody",),
    "jwt_issuer": ("somebody",),
    "tls_cert_file": (NOWHERE, "GARBAGE"),
    "tls_key_file": (NOWHERE,),
    "tls_client_ca_file": (NOWHERE,),
    "tls_ca_file": (NOWHERE, "GARBAGE"),
    "token_file": (NOWHERE,),
    "log_format": ("xml",),
    "log_level": ("loud",),
    "database_url": (
        "nonsense",
        "mysql://h/n",
        "postgresql://h/n",
        f"sqlite:///{NOWHERE}/x.db",
        "postgresql+psycopg://u:hunter2@127.0.0.1:1/n",
        "sqlite:///GARBAGE",
    ),
    "artefacts_url": (NOWHERE, "nonsense://x"),
    "registry": ("nonsense", "host:port", "127.0.0.1:0"),
    "env": ("nonsense",),
    "learner": ("nonsense",),
    "redis_url": ("nonsense", "http://h", "redis://h?protocol=3"),
    "profiles_root": (NOWHERE, "GARBAGE"),
    "work_directory": (NOWHERE, "GARBAGE"),
}
ANY = {"token", "hosts"}
"""Settings that may be any text."""
TOGETHER = {
    "tls_cert_file": {"tls_key_file": "GARBAGE"},
    "tls_key_file": {"tls_cert_file": "GARBAGE"},
    "tls_client_ca_file": {"tls_cert_file": "GARBAGE", "tls_key_file": "GARBAGE"},
    "jwks_file": {"jwt_audience": "a", "jwt_issuer": "i"},
}
"""What must be given beside a setting for it to be looked at."""


class Served(BaseException):
    """A service with a bad setting has begun to serve."""


@pytest.fixture
def words(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What words in values stand for: a file that holds garbage, and a port that is taken."""
    garbage = tmp_path / "garbage"
    garbage.write_text("{no: [such")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield {"GARBAGE": str(garbage), "TAKEN": str(taken.getsockname()[1])}


def _bad(cls: Any, name: str) -> tuple[str, ...]:
    if name in BAD:
        return BAD[name]
    hint = str(get_type_hints(cls)[name])
    assert any(kind in hint for kind in ("int", "float", "bool")), f"say in BAD what {name} must not be"
    bounds = {setting.name: setting.bounds for setting in settings_of(cls)}[name]
    return ("x", "-1", "nan") if bounds else ("x", "-")


def _cases(*classes: Any) -> list[Any]:
    return [
        pytest.param(cls, f.name, value, id=f"{cls.prefix}{f.name.upper()}={value}")
        for cls in classes
        for f in fields(cls)
        if f.name not in ANY
        for value in _bad(cls, f.name)
    ]


def _environ(cls: Any, name: str, value: str, words: dict[str, str], folder: Path) -> dict[str, str]:
    given = {"port": "0"} if "port" in {f.name for f in fields(cls)} else {}
    own = {"database_url": f"sqlite:///{folder}/r.db", "artefacts_url": f"{folder}/a", "work_directory": f"{folder}/w"}
    given |= {key: v for key, v in own.items() if key in {f.name for f in fields(cls)}}
    given |= TOGETHER.get(name, {}) | {name: value}
    environ = {cls.variable(key): v for key, v in given.items()}
    for word, meaning in words.items():
        environ = {key: v.replace(word, meaning) for key, v in environ.items()}
    return environ


@pytest.mark.parametrize(("cls", "name", "value"), _cases(*MODULES))
def test_a_service_refuses_a_bad_variable_in_a_line_that_names_it(
    cls: Any,
    name: str,
    value: str,
    words: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable in [v for v in os.environ if v.startswith("LWMECPS_")]:
        monkeypatch.delenv(variable)
    for variable, text in _environ(cls, name, value, words, tmp_path).items():
        monkeypatch.setenv(variable, text)
    module = importlib.import_module(MODULES[cls])
    for where in ("common.server", "gateway.serving"):
        monkeypatch.setattr(f"services.{where}.ending", _Ending)
    # It would keep this test's standard error for all tests that follow, and that closes with this test.
    monkeypatch.setattr("services.common.logs.configure", lambda *_: None)
    if hasattr(module, "make_sure"):
        monkeypatch.setattr(module, "make_sure", lambda: True)
    if hasattr(module, "worker_supervisor"):
        monkeypatch.setattr(module, "worker_supervisor", lambda settings: _NoWorkers())
    with pytest.raises(SystemExit) as ended:
        begin(module.main, "of-the-test")
    said = capsys.readouterr().err.splitlines()
    lines = [line for line in said if cls.variable(name) in line]
    assert ended.value.code in (BAD_INPUT, UNREACHABLE)
    assert len(lines) == 1 and not any("Traceback" in line for line in said), said
    assert "hunter2" not in "".join(said)


class _Ending:
    """In place of the event that ends a server: waiting for it means that the server serves."""

    def wait(self) -> None:
        raise Served


class _NoWorkers:
    def __getattr__(self, name: str) -> Any:
        return lambda *_: []


@pytest.mark.parametrize(("cls", "name", "value"), _cases(ClientSettings, WorkerSettings))
def test_clients_and_workers_refuse_a_bad_variable_by_name(
    cls: Any, name: str, value: str, words: dict[str, str], tmp_path: Path
) -> None:
    environ = _environ(cls, name, value, words, tmp_path)
    if cls is ClientSettings and name in ("tls_cert_file", "tls_key_file"):
        environ[cls.variable("tls_ca_file")] = words["GARBAGE"]
    with pytest.raises(InvalidInput) as refused:
        settings = read(cls, cls.prefix, environ)
        if cls is ClientSettings:
            connect("127.0.0.1:1", settings).close()
    named = {cls.variable(name)} | {cls.variable("tls_ca_file") if value == "GARBAGE" else cls.variable(name)}
    assert named & {violation.field for violation in refused.value.violations}


@pytest.mark.parametrize("variable", ["LWMECPS_REGISTRI_PORT", "LWMECPS_CLI_REGISTY", "LWMECPS_CLEINT_TOKEN"])
def test_a_variable_of_ours_that_nobody_reads_is_a_typing_error(variable: str) -> None:
    with pytest.raises(InvalidInput, match=f"{variable}: no such setting: did you mean LWMECPS_"):
        check_names({variable: "x"})
    check_names({"LWMECPS_TRACKING": "none", "LWMECPS_CLI_ENV": "a:1", "LWMECPS_ENV_PORT": "1", variable: ""})
