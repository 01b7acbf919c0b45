"""Every option of every command with bad values: what is wrong is named, with a documented code and no traceback."""

import os
import socket
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from lwmecps_core.errors import InvalidInput, QueueUnavailable, ServiceUnavailable
from services.cli.clients import Addresses
from services.cli.local import SystemPlan, commands
from services.cli.main import app
from services.cli.preflight import adopted, check_database, check_ports, check_redis
from services.cli.processes import ProcessFailed, free_port, start_module

NOWHERE = "/proc/nothing/here"
TEXTS: dict[str, tuple[str, ...]] = {
    "redis_url": ("nonsense", "redis://127.0.0.1:1/0", "redis://h?protocol=3"),
    "host": ("no.such.host.invalid", "0.0.0.0", "203.0.113.7"),
    "registry": ("nonsense", "a:b"),
    "env": ("nonsense",),
    "learner": ("nonsense",),
    "memory": (NOWHERE,),
    "gateway": ("nonsense", "ftp://a", "http://a:b"),
    **{name: ("nonsense",) for name in ("step", "time_format", "timezone", "interval", "request_interval", "at")},
    "delimiter": ("ab",),
}
ANY = {
    *("label", "name", "run_id", "family", "namespace", "selector", "task", "source_task", "calibration_task"),
    *("baseline", "ignore_blocks", "policy"),
    *("time", "value", "node", "deployment", "columns", "source", "target", "only", "trigger", "calls"),
}
"""Options that may be any text, a name in the file, or an id that only the services know."""
PORTS = ["--registry-port", "0", "--env-port", "0", "--learner-port", "0", "--gateway-port", "0"]
BESIDE: dict[tuple[str, str], list[str]] = {
    ("demo", "kubeconfig"): ["--backend", "kubernetes"],
    ("act", "memory"): ["--task", "t"],
    ("adapt", "optimiser"): ["--task", "t"],
    **{(command, "rule"): ["--task", "t", "--algorithm", "disco"] for command in ("train", "meta-train")},
    **{
        ("up", name): ["--registry-port", "0", "--env-port", "0", "--learner-port", "0", "--gateway-port", "0"]
        for name in ("host", "redis_url")
    },
}
"""What must be given beside an option for it to be looked at."""
IMPORTS: dict[str, list[str]] = {
    "csv": ["--unit=rps", "--step=60s"],
    "prometheus": ["--unit=rps", "--step=60s", "--node=n"],
    "alibaba-microservices": ["--calls-per-s=1"],
    "latency-matrix": ["--unit=ms", "--direction=rtt"],
    "edgesimpy": ["--cpu-unit=cores", "--memory-unit=MiB", "--delay-unit=ms"],
    "yafs": ["--time-unit=ms", "--ram-unit=MiB", "--ipt-per-core=1"],
}
"""What a source doesn't say and must be told."""


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _leaves(inner, (*path, name))
    else:
        yield path, command


def _values(option: Any) -> tuple[str, ...]:
    if option.is_flag or option.name in ANY:
        return ()
    kind = _kind(option.type_descriptor.annotation)
    if kind in (int, float):
        return ("x",) if option.min is None else ("x", str(option.min - 1))
    if get_origin(kind) is Literal:
        return ("nonsense",)
    if kind is Path:
        return (NOWHERE,)
    if option.name in TEXTS:
        return TEXTS[option.name]
    assert kind is str, f"--{option.name}: say in this test what no {kind} is"
    pytest.fail(f"say in TEXTS what --{option.name} must not be, or in ANY that it may be anything")


def _kind(hint: Any) -> Any:
    """The plain type of an optional one, or of the entries of a list."""
    inner = [each for each in get_args(hint) if each is not type(None)]
    wrapped = get_origin(hint) not in (None, Literal) or isinstance(hint, types.UnionType)
    return _kind(inner[0]) if wrapped and inner else hint


def _cases() -> list[Any]:
    root: Any = typer.main.get_command(app)
    found = [(("runs",), option, value) for option in root.params if option.name in TEXTS for value in _values(option)]
    for path, command in _leaves(root):
        found += [(path, o, v) for o in command.params if o.param_type_name == "option" for v in _values(o)]
    return [pytest.param(path, o, v, id=f"{' '.join(path)} {o.opts[0]}={v}") for path, o, v in found]


@pytest.fixture(scope="module")
def nowhere() -> list[str]:
    """Options that say that the services are where nobody listens."""
    return [word for name in ("registry", "env", "learner") for word in (f"--{name}", f"127.0.0.1:{free_port()}")]


@pytest.mark.parametrize(("path", "option", "value"), _cases())
def test_a_bad_value_of_an_option_is_refused_by_name(
    path: tuple[str, ...], option: Any, value: str, nowhere: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in [v for v in os.environ if v.startswith("LWMECPS_") or v in ("REDIS_URL", "KUBECONFIG")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr("services.cli.local.start_module", _nothing_starts)
    monkeypatch.chdir(tmp_path)
    root: Any = typer.main.get_command(app)
    command = root
    for name in path:
        command = command.commands[name]
    needed = [p for p in command.params if p.required and p is not option]
    given = ["x" if p.param_type_name == "argument" else f"{p.opts[0]}=x" for p in needed]
    of_root = option in root.params
    before = [f"{option.opts[0]}={value}"] if of_root else []
    after = [] if of_root else [f"{option.opts[0]}={value}", *BESIDE.get((path[-1], option.name), [])]
    if path[0] == "import":
        after += [word for word in IMPORTS.get(path[-1], []) if word.partition("=")[0] not in option.opts]
    state = ["--state", str(tmp_path)] if path == ("up",) and option.name != "state" else []
    result = CliRunner().invoke(app, [*nowhere, *before, *path, *given, *after, *state])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (2, 3, 4), result.output
    told = result.stderr
    if path == ("doctor",) and not told:  # it says on standard output what it has found
        assert value in result.stdout and result.exit_code == 3
        return
    assert "Traceback" not in told and len([line for line in told.splitlines() if not _is_usage(line)]) == 1, told
    named = any(name in told for name in (*option.opts, value, str(Path(value).parent)))
    assert named or (result.exit_code == 3 and any(address in told for address in nowhere)), told


def _is_usage(line: str) -> bool:
    return not line.strip() or line.startswith(("Usage:", "Try ", "taken from"))


def _nothing_starts(*_: Any) -> None:
    raise AssertionError("something was started")


def test_what_a_variable_says_about_where_things_are_kept_is_honoured_and_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    environ = {"LWMECPS_REGISTRY_DATABASE_URL": url, "LWMECPS_ENV_MAX_SESSIONS": "3", "PATH": "/bin"}
    traced = environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert set(adopted(traced, kept=True)) - set(environ) == {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert adopted(environ, kept=True) == ["LWMECPS_ENV_MAX_SESSIONS", "LWMECPS_REGISTRY_DATABASE_URL"]
    monkeypatch.setenv("LWMECPS_REGISTRY_DATABASE_URL", url)
    _, env = commands(SystemPlan(tmp_path, kept=True), Addresses(), "redis://x")["registry"]
    assert env["LWMECPS_REGISTRY_DATABASE_URL"] == url
    with pytest.raises(InvalidInput, match="LWMECPS_REGISTRY_DATABASE_URL: a demonstration keeps its state"):
        adopted(environ, kept=False)


@pytest.mark.parametrize(
    ("variable", "remedy"),
    [
        ("LWMECPS_REGISTRY_PORT", "--registry-port"),
        ("LWMECPS_LEARNER_HOST", "--host"),
        ("LWMECPS_ENV_REDIS_URL", "--redis-url"),
        ("LWMECPS_ENV_COLLECTION_WORKERS", "--workers"),
        ("LWMECPS_LEARNER_SLOTS", "--slots"),
        ("LWMECPS_LEARNER_REGISTRY", "the registry that is started here"),
        ("LWMECPS_REGISTRY_DATABSE_URL", "did you mean LWMECPS_REGISTRY_DATABASE_URL"),
    ],
)
def test_a_variable_that_up_does_not_honour_is_refused_with_the_remedy(variable: str, remedy: str) -> None:
    with pytest.raises(InvalidInput, match=f"{variable}: .*{remedy}"):
        adopted({variable: "1"}, kept=True)


def test_a_variable_of_others_is_said_when_it_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    result = CliRunner().invoke(app, ["up", "--state", str(tmp_path)])
    assert "--redis-url redis://127.0.0.1:1/0 is taken from REDIS_URL" in result.stderr
    assert result.exit_code in (2, 3) and "hunter2" not in result.stderr


def test_a_port_that_is_taken_is_named_by_its_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"--env-port: can't listen on {port}"):
            check_ports("127.0.0.1", {"--registry-port": 0, "--env-port": port})
    with pytest.raises(InvalidInput, match="--env-port: 50051 is that of --registry-port"):
        check_ports("127.0.0.1", {"--registry-port": 50051, "--env-port": 50051, "--learner-port": 0})


def test_a_redis_that_does_not_answer_is_given_up_within_5_s(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(QueueUnavailable, match=r"--redis-url redis://127\.0\.0\.1:\d+/0: .*leave the option"):
            check_redis(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        assert time.monotonic() - began < 5


def test_a_service_that_refuses_to_start_says_so_in_a_line_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "lw_refuses.py").write_text("import sys; print('environment: X: no'); raise SystemExit(2)")
    child = start_module("registry", "lw_refuses", {"PYTHONPATH": str(tmp_path)}, tmp_path / "log")
    child.process.wait(20)
    with pytest.raises(
        ProcessFailed, match=r"^registry did not start: environment: X: no \(its log is .*\)$"
    ) as failed:
        child.check()
    assert failed.value.exit_code == 2


def test_a_database_that_does_not_answer_is_refused_by_its_variable_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.cli.preflight.REACH_S", 0.5)
    name = "LWMECPS_REGISTRY_DATABASE_URL"
    with pytest.raises(ServiceUnavailable, match=f"{name}: .*refused.*: start it, or unset the variable") as refused:
        check_database(name, f"postgresql+psycopg://u:secret@127.0.0.1:{free_port()}/n")
    assert "secret" not in str(refused.value) and "\n" not in str(refused.value)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ServiceUnavailable, match=f"{name}: no answer within 0.5 s"):
            check_database(name, f"postgresql+psycopg://u:p@127.0.0.1:{silent.getsockname()[1]}/n")
