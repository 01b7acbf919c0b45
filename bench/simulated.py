"""The simulator against servers: `python -m bench.simulated [--measured FILE]` writes docs/simulator.md.

Every figure of the model is what a simulated cluster of one node reports (`BatchEnv`); it is held against servers that
are played event by event (`tests/sim/events.py`), and against a file of measurements of real ones, if there is one.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, ObjectiveSpec, TaskSpec, WorkloadSpec
from tests.sim import events

ROOT = Path(__file__).resolve().parents[1]
SERVICE_MS = 100.0
INTERVAL_S = 1000.0
"""Long, so that chance in the number of requests hardly counts."""
CLIENT_FLOOR_MS = 0.5
"""Of the measurements: what client and loopback add."""
INTERVALS = 20
Cells = tuple[str | float, ...]


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulated", description=__doc__)
    parser.add_argument("--measured", type=Path, help="a CSV file of measured latencies (columns as in the page)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "simulator.md", help="the page")
    args = parser.parse_args()
    measured = list(_measured(args.measured)) if args.measured else []
    args.out.write_text(_page(measured))
    Console().print(f"{args.out} is written")
    return 0


def modelled(
    rho: float,
    *,
    cores: float = 1.0,
    slots: int = 1,
    cv: float = 1.0,
    pods: int = 1,
    service_ms: float = SERVICE_MS,
    timeout_ms: float = 1e8,
    abandon: bool = False,
    burst: float = 0.0,
) -> tuple[float, float, float]:
    """Mean latency and its 95th percentile (ms), and the failed share, on a simulated cluster of one node.

    `rho` is the utilisation that the load asks for; with `burst`, so many requests come at once in every interval.
    """
    rate = rho * cores * pods / service_ms * 1e3
    interval_s = INTERVAL_S if not burst else max(10.0, 10.0 * burst * service_ms / 1e3)
    task = TaskSpec(
        name="one-node",
        env_id="lwmecps-v3",
        cluster=ClusterSpec(
            nodes=(NodeSpec(name="n", cpu_millicores=1e6, ram_mib=1e6, access_latency_ms=0.0),), rtt_ms=((0.0,),)
        ),
        deployments=(
            DeploymentSpec(
                name="d",
                cpu_millicores=1000.0 * cores,
                cpu_time_ms=service_ms,
                cpu_time_cv=cv,
                concurrency=slots,
                timeout_ms=timeout_ms,
                abandon=abandon,
                max_replicas=pods,
                initial_replicas=pods,
                startup_s=0.0,
            ),
        ),
        workload=WorkloadSpec(
            pattern="uniform",
            base_users=(burst or rate * interval_s,),
            request_interval_s=interval_s,
            share=((1.0,),),
            noise=0.0,
            arrivals="burst" if burst else "poisson",
        ),
        objective=ObjectiveSpec(),
        interval_s=interval_s,
        horizon=INTERVALS + 1,
    )
    env = BatchEnv([task], [0])
    env.reset([0])
    seen = []
    for _ in range(INTERVALS):
        info = env.step(np.full((1, 1), pods, np.int32))[-1]
        seen.append([info[key][0] for key in ("latency_ms", "latency_p95_ms", "failed_share")])
    mean, p95, failed = np.mean(seen, axis=0)
    return float(mean), float(p95), float(failed)


def _measured(path: Path) -> Iterator[Cells]:
    for row in csv.DictReader(path.read_text().splitlines()):
        rho, service_ms = float(row["rho_eff"]), float(row["service_ms_incl_overhead"])
        mean, p95, _ = modelled(rho, cv=float(row["service_cv2"]) ** 0.5, service_ms=service_ms)
        found = float(row["mean_ms"]), float(row["p95_ms"])
        name = f"{row['server']}, {row['service_dist']}, {row['replicas']} × {row['balancer']}"
        yield name, rho, *_beside(found, (mean + CLIENT_FLOOR_MS, p95 + CLIENT_FLOOR_MS))


def _sharing() -> Iterator[Cells]:
    for cores, slots in ((1, 1), (1, 4), (1, 8), (1, 64), (2, 2), (2, 8), (2, 64), (4, 8), (4, 64)):
        for cv in (0.0, 0.5, 1.0):
            for rho in (0.4, 0.7, 0.8):
                times = SERVICE_MS * events.sharing(rho, cores, slots, cv)
                found = float(times.mean()), float(np.quantile(times, 0.95))
                mean, p95, _ = modelled(rho, cores=cores, slots=slots, cv=cv)
                yield cores, slots, cv, rho, *_beside(found, (mean, p95))


def _bursts() -> Iterator[Cells]:
    for requests, pods in ((8, 1), (40, 1), (8, 4), (40, 4), (40, 16)):
        for cv in (0.0, 1.0):
            times = SERVICE_MS * events.bursts(requests, pods, cv)
            found = float(times.mean()), float(np.quantile(times, 0.95))
            mean, p95, _ = modelled(0.0, cv=cv, pods=pods, burst=requests)
            yield requests, pods, cv, *_beside(found, (mean, p95))


def _timeouts() -> Iterator[Cells]:
    for rho in (0.6, 0.8, 0.95, 1.2, 1.5):
        for timeout in (3.0, 10.0):
            shares = []
            for leave in (False, True):
                shares.append(events.with_timeouts(rho, timeout, leave)[0])
                shares.append(modelled(rho, timeout_ms=timeout * SERVICE_MS, abandon=leave)[2])
            yield rho, timeout, *(f"{100 * share:.1f} %" for share in shares)


def _beside(found: tuple[float, float], model: tuple[float, float]) -> Cells:
    """Both means and percentiles, and by how much the model is off."""
    errors = [f"{100.0 * (m / f - 1.0):+.0f} %" for f, m in zip(found, model, strict=True)]
    return round(found[0], 1), round(model[0], 1), errors[0], round(found[1], 1), round(model[1], 1), errors[1]


def _table(header: Sequence[str], rows: Sequence[Cells]) -> str:
    lines = [
        header,
        ["---:"] * len(header),
        *([f"{x:g}" if isinstance(x, float) else str(x) for x in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(measured: Sequence[Cells]) -> str:
    both = ("mean ms", "model", "off", "p95 ms", "model", "off")
    parts = [
        _INTRODUCTION,
        "## Requests that share a pod\n\n" + _SHARING,
        _table(("cores", "at once", "cv", "utilisation", *both), list(_sharing())),
        "## Bursts\n\n" + _BURSTS,
        _table(("requests", "pods", "cv", *both), list(_bursts())),
        "## Timeouts and overload\n\n" + _TIMEOUTS,
        _table(
            ("utilisation", "timeout / service", "served all the same", "model", "`abandon`", "model"),
            list(_timeouts()),
        ),
    ]
    if measured:
        parts[1:1] = ["## Measured\n\n" + _MEASURED, _table(("server", "utilisation", *both), measured)]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# The simulator against servers

Made by `python -m bench.simulated`. The model is what a simulated cluster of one node reports; beside it stand
servers that are played event by event (`tests/sim/events.py`), with a mean service time of 100 ms, Poisson
arrivals and service that always takes the same (cv 0) or varies like a gamma distribution. In these tables
utilisation is the share of what pods can use; observations show, as a cluster does, CPU used over CPU requested."""

_MEASURED = """A single-process HTTP server with 5 ms of CPU per request, measured on loopback; the model has
the measured service time, its variation and its utilisation, and half a millisecond for client and loopback is
added to it."""

_SHARING = """A pod with `cores` CPUs serves so many requests `at once`; they share its CPU, one CPU each at
most, and the others wait in order. Mean: Sakasegawa's M/M/c, times Allen and Cunneen's factor so far as
requests are served in order. The percentile is a gamma distribution's with the mean and variance of waiting and
service together; it is up to a fifth too high where few requests of one size share a busy pod."""

_BURSTS = """All requests come at once to single-threaded pods behind a random balancer, and find them idle. The
mean takes them to be spread evenly over the pods, so that it is short where there are few requests per pod; the
percentile counts how uneven chance makes it."""

_TIMEOUTS = """One single-threaded pod, exponential service: shares of requests that fail. What a client that no longer
waits has asked for is served all the same by most servers, which don't notice that it is gone; the model serves it, up
to a queue as long as the timeout, and drops what is beyond. With `abandon` it leaves the queue, as behind a proxy or in
an asynchronous server that cancels; only what has been begun is finished for nobody."""


if __name__ == "__main__":
    raise SystemExit(main())
