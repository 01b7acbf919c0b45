"""`lwmecps up`: the whole system in one terminal."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from services.cli.json_option import Json
from services.cli.render import console, print_json, tell
from services.common.settings import without_password

app = typer.Typer()
Port = Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one.", rich_help_panel="Ports")]
SERVICES = ("registry", "env", "learner")
STATE = Path("~/.local/state/lwmecps")


@app.command()
def up(
    state: Annotated[Path, typer.Option(help="Folder of the database, policies and logs.")] = STATE,
    registry_port: Port = 50051,
    env_port: Port = 50052,
    learner_port: Port = 50053,
    gateway_port: Port = 50080,
    gateway: Annotated[bool, typer.Option(help="Serve HTTP/JSON and the web page too.")] = True,
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help="A Redis to use; default: one of our own.")] = "",
    workers: Annotated[int, typer.Option(help="Collection worker processes.", min=1)] = 1,
    learners: Annotated[int, typer.Option(help="Learner processes.", min=1)] = 1,
    slots: Annotated[int, typer.Option(help="Runs that each learner works on at once.", min=1)] = 2,
    host: Annotated[str, typer.Option(help="Where the services listen; others than loopback need TLS and tokens.")] = (
        "127.0.0.1"
    ),
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen there without them all the same.")] = False,
    as_json: Json = False,
) -> None:
    """Start Redis, the three services and the gateway in this terminal; ctrl-C drains them."""
    # Imported here, because it loads the Redis client, which few commands need.
    from services.cli.local import SystemPlan, running

    plan = SystemPlan(
        state=state.expanduser().resolve(),
        registry_port=registry_port,
        env_port=env_port,
        learner_port=learner_port,
        gateway_port=gateway_port if gateway else None,
        redis_url=redis_url,
        workers=workers,
        learners=learners,
        slots=slots,
        host=host,
        insecure=insecure,
        kept=True,
    )
    with running(plan, tell) as system:
        where = vars(system.addresses) | ({"gateway": system.gateway} if system.gateway else {})
        where |= {"redis": without_password(system.redis_url), "state": str(plan.state)}
        where |= metrics_of(where, os.environ)
        if as_json:
            print_json(where)
        else:
            width = max(9, *map(len, where))
            for name, value in where.items():
                console.print(f"{name:{width}} {value}", highlight=False)
            console.print("ready; ctrl-C ends all of it", highlight=False)
        try:
            while True:
                system.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            console.print("draining …", highlight=False) if not as_json else None


def metrics_of(addresses: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Where Prometheus finds the services that variables gave a port for it (a free one, 0, stands in their log)."""
    ports = {name: environ.get(f"LWMECPS_{name.upper()}_METRICS_PORT") or "0" for name in SERVICES}
    host = {name: addresses[name].rpartition(":")[0] for name in ports}
    return {f"{name}_metrics": f"http://{host[name]}:{port}/metrics" for name, port in ports.items() if port != "0"}
