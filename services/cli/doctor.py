"""`lwmecps doctor`: whether everything that a run needs can be had, and what to do where it can't."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lwmecps_core.errors import LwmecpsError, QueueUnavailable
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.registry.v1 import registry_pb2, run_pb2
from services.cli.clients import Clients
from services.cli.gateways import ask_gateway, check_gateway_url
from services.cli.json_option import Json
from services.cli.render import console, print_json
from services.common.client import connect
from services.common.codes import FAILED, UNREACHABLE
from services.common.health import CLOCK_KEY, DATABASE, REGISTRY, ROLLOUTS, VERSION, VERSION_KEY, WORKERS
from services.common.settings import ClientSettings, check_files, read, without_password

app = typer.Typer()
ANSWER_S = 3.0
GATEWAY = "http://127.0.0.1:50080"
SKEW_S = 5.0
"""How far a service's clock may be from ours: tokens expire by it."""
REMEDIES = {
    DATABASE: "its database can't be used: LWMECPS_REGISTRY_DATABASE_URL, and the registry's log says why",
    REGISTRY: "it can't reach its registry: LWMECPS_LEARNER_REGISTRY, and that registry's own health",
    ROLLOUTS: "it can't use its Redis: LWMECPS_{}_REDIS_URL, and Redis itself (full, read-only, away)",
    WORKERS: "none of its collection workers reports: the log of the env-service says how they end",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` is what to do about it, empty where nothing is wrong."""

    what: str
    found: str
    remedy: str = ""
    unreachable: bool = False


@app.command()
def doctor(
    ctx: typer.Context,
    redis_url: Annotated[str, typer.Option(help="Also look at this Redis itself.")] = "",
    gateway: Annotated[
        str,
        typer.Option(envvar="LWMECPS_CLI_GATEWAY", help=f"Where the gateway is; default {GATEWAY}, if there is one."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Check services, dependencies, gateway, workers, waiting runs, clocks, versions, Redis, and say what to do."""
    if redis_url:
        from services.cli.preflight import check_redis_url  # it loads what few commands need

        check_redis_url(redis_url)
    if gateway:
        check_gateway_url(gateway)
    findings = list(examine(ctx.obj, redis_url, gateway))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            line = f"{'BAD' if finding.remedy else 'ok':4}{finding.what:22}{finding.found}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            if finding.remedy:
                console.print(f"    → {finding.remedy}", highlight=False, markup=False, soft_wrap=True)
    if any(finding.unreachable for finding in findings):
        raise typer.Exit(UNREACHABLE)
    if any(finding.remedy for finding in findings):
        raise typer.Exit(FAILED)


def examine(clients: Clients, redis_url: str = "", gateway: str = "") -> Iterator[Finding]:
    """Everything that there is to look at, in the order in which it depends on one another."""
    if os.environ.get("REDIS_URL"):
        yield Finding("REDIS_URL", "set; only `up`, `demo` and a worker by itself take it, the services do not")
    if redis_url:
        yield from _of_redis(redis_url)
    answering = set()
    for name, address in vars(clients.addresses).items():
        found = list(_of_service(name, address))
        if not any(finding.unreachable for finding in found):
            answering.add(name)
        yield from found
    yield from _of_gateway(gateway)
    if "registry" in answering:
        yield from _asked("waiting runs", lambda: _waiting(clients))
    if "env" in answering:
        yield from _asked("workers", lambda: _workers(clients))


def _of_service(name: str, address: str) -> Iterator[Finding]:
    """Health, version and clock of one service."""
    settings = read(ClientSettings, ClientSettings.prefix)
    with connect(address, settings) as channel:
        began = time.time()
        call = health_pb2_grpc.HealthStub(channel).List.with_call
        try:
            answer, about = call(health_pb2.HealthListRequest(), timeout=ANSWER_S)
        except grpc.RpcError as error:
            yield _silent(name, address, error)
            return
        now = (began + time.time()) / 2
    serving = health_pb2.HealthCheckResponse.SERVING
    away = sorted(key for key, status in answer.statuses.items() if status.status != serving)
    known = [f"{key}: {REMEDIES[key].format(name.upper())}" for key in away if key in REMEDIES]
    draining = "it is ending: start it again" if "" in away else ""
    state = (
        f"{address} not serving: {', '.join(key or 'the process' for key in away)}" if away else f"{address} serving"
    )
    yield Finding(name, state, draining or "; ".join(known))
    yield from _of_metadata(name, dict(about.initial_metadata() or ()), now)


def _of_gateway(given: str) -> Iterator[Finding]:
    """What the gateway says of itself, and of the services as it reaches them; there need be none that is not named."""
    url, settings = given or GATEWAY, read(ClientSettings, ClientSettings.prefix)
    check_files(settings)
    began = time.time()
    try:
        _, about = ask_gateway(url, "/health/gateway", settings.tls_ca_file, ANSWER_S)
        now = (began + time.time()) / 2
        statuses, _ = ask_gateway(url, "/health", settings.tls_ca_file, ANSWER_S)
    except ConnectionError as error:
        if given:
            remedy = "start it (`lwmecps up`), or say where it is by --gateway or LWMECPS_CLI_GATEWAY; "
            tls = "with https, LWMECPS_CLIENT_TLS_CA_FILE must name its authority"
            yield Finding("gateway", f"{url} does not answer: {error}", remedy + tls, True)
        else:
            yield Finding("gateway", f"none at {url} (--gateway says where it is)")
        return
    except ValueError as error:
        yield Finding("gateway", f"{url} answers, but is no gateway of ours: {error}", "check --gateway", True)
        return
    away = [f"{name} ({status})" for name, status in statuses.items() if status != "SERVING"]
    remedy = "where it looks for them: LWMECPS_GATEWAY_REGISTRY, …_ENV, …_LEARNER; and their own health" if away else ""
    found = f"{url} serving" + (f", but it can't use {', '.join(away)}" if away else "")
    yield Finding("gateway", found, remedy)
    yield from _of_metadata("gateway", about, now)


def _of_metadata(name: str, told: dict[str, Any], now: float) -> Iterator[Finding]:
    version, clock = told.get(VERSION_KEY, "unknown"), told.get(CLOCK_KEY)
    other = f"this command is of {VERSION}: install the same version on both sides" if version != VERSION else ""
    yield Finding(f"{name}: version", version, other)
    if clock is not None:
        skew_s = float(clock) - now
        wrong = "set both clocks by NTP: tokens expire too early or too late" if abs(skew_s) > SKEW_S else ""
        yield Finding(f"{name}: clock", f"{skew_s:+.1f} s from ours", wrong)


def _silent(name: str, address: str, error: grpc.RpcError) -> Finding:
    code, details = (error.code(), error.details()) if isinstance(error, grpc.Call) else (None, str(error))
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Finding(name, f"{address} answers, but is no service of ours, or an older one", f"check --{name}", True)
    remedy = f"start it (`lwmecps up`), or say where it is by --{name} or LWMECPS_CLI_{name.upper()}; "
    tls = "with TLS, LWMECPS_CLIENT_TLS_CA_FILE must name its authority, and without it must be unset"
    return Finding(name, f"{address} does not answer: {details}", remedy + tls, True)


def _asked(what: str, ask: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a service's own methods say; they need a token where the services ask for tokens."""
    try:
        yield from ask()
    except LwmecpsError as error:
        remedy = "the service's log says more"
        if "UNAUTHENTICATED" in str(error) or "PERMISSION_DENIED" in str(error):
            remedy = "give a token with the scope read: LWMECPS_CLIENT_TOKEN or LWMECPS_CLIENT_TOKEN_FILE"
        yield Finding(what, str(error), remedy)


def _waiting(clients: Clients) -> Iterator[Finding]:
    """Runs that wait: for a learner while they are PENDING, for what their learner says while they are RUNNING."""
    runs: list[run_pb2.Run] = []
    for state in (run_pb2.RUN_STATE_PENDING, run_pb2.RUN_STATE_RUNNING):
        runs += clients.registry("ListRuns", registry_pb2.ListRunsRequest(state=state, page_size=100)).runs
    waiting = [run for run in runs if run.waiting_for]
    learner = [run for run in waiting if run.waiting_for.startswith("a learner")]
    remedy = "start a learner, or give one more slots (LWMECPS_LEARNER_SLOTS, `up --slots`)" if learner else ""
    remedy = remedy or ("look at what they wait for" if waiting else "")
    found = "; ".join(f"{run.id} for {run.waiting_for}" for run in waiting[:5]) or "none"
    yield Finding("waiting runs", found, remedy)


def _workers(clients: Clients) -> Iterator[Finding]:
    workers = clients.env("GetWorkerStatus", env_pb2.GetWorkerStatusRequest()).workers
    stopped = [worker for worker in workers if worker.state == env_pb2.WORKER_STATE_STOPPED]
    found = f"{len(workers) - len(stopped)} of the {len(workers)} of this env-service report"
    why = "; ".join(f"{w.worker_id}: {w.last_error or 'does not report'}" for w in stopped)
    yield Finding("workers", found, f"{why}: see the env-service's log" if stopped else "")


def _of_redis(url: str) -> Iterator[Finding]:
    """Version, room and policy of a Redis."""
    from lwmecps_core.rollout.redis_queue import broker_errors, check_reachable, check_version
    from lwmecps_core.rollout.redis_queue import connect as connect_redis

    where = without_password(url)
    try:
        with connect_redis(url, timeout_s=ANSWER_S) as client:
            version = check_version(client)
            check_reachable(client)
            with broker_errors("its memory"):
                memory: Any = client.info("memory")
    except QueueUnavailable as error:
        yield Finding("redis", f"{where}: {error}", "start it, or correct the URL; look at its memory limit", True)
        return
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    evicts = policy != "noeviction" and bool(memory.get("maxmemory"))
    remedy = "set maxmemory-policy to noeviction: what is evicted are rollouts" if evicts else ""
    yield Finding("redis", f"{where}: {version}, {memory['used_memory_human']} used, {policy}", remedy)
