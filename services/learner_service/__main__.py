"""`python -m services.learner_service`: work on runs, and answer `LearnerService`, until SIGTERM."""

import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

if __name__ == "__main__":  # whoever imports this has an environment of his own
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small tensors are faster on one thread

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
import structlog

from lwmecps_core.errors import LwmecpsError
from lwmecps_core.rollout.redis_queue import check_reachable
from lwmecps_core.rollout.redis_queue import connect as connect_redis
from lwmecps_core.rollout.streams import announce
from lwmecps_core.tracking import make_trackers
from protos.keda import externalscaler_pb2, externalscaler_pb2_grpc
from protos.lwmecps.env.v1.env_pb2_grpc import EnvServiceStub
from protos.lwmecps.learner.v1 import learner_pb2, learner_pb2_grpc
from protos.oip import inference_pb2, inference_pb2_grpc
from services.common.client import Caller, connect
from services.common.health import REGISTRY, ROLLOUTS
from services.common.late import Late, LateServicer
from services.common.server import Service, serve
from services.common.settings import ClientSettings, read
from services.common.starting import begin, check_folder, end_at_once
from services.learner_service import counted  # noqa: F401  (what it counts is there from the start)
from services.learner_service.holding import StopSignal, heartbeats
from services.learner_service.jobs import Job
from services.learner_service.profiles import Profiles
from services.learner_service.registry_client import RegistryClient
from services.learner_service.run_logs import RunLogs
from services.learner_service.run_pool import RunPool
from services.learner_service.settings import CLIENT_PREFIX, PREFIX, LearnerSettings

if TYPE_CHECKING:
    from services.learner_service.keda.follower import Followers
    from services.learner_service.runs import Workshop

BEAT_S = 1.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outside:
    """What is there from the start: ways to the others, and what runs leave here."""

    settings: LearnerSettings
    registry: RegistryClient
    sessions: Caller
    redis: "redis.Redis"
    profiles: Profiles
    logs: RunLogs


@dataclass(frozen=True)
class Parts:
    """What learns and acts: it imports torch and the simulator, so it is made when somebody first asks for it."""

    workshop: "Workshop"
    followers: "Followers"
    learner: Any
    keda: Any
    inference: Any


def open_parts(outside: Outside, run_created: Callable[[], None]) -> Parts:
    """Import and make them; workers get ready meanwhile."""
    with suppress(LwmecpsError):  # they will hear of the first request
        announce(outside.redis)
    import torch

    from lwmecps_core.rollout.queue_collector import QueueCollectorConfig
    from services.learner_service import backends
    from services.learner_service.acting import LoadedPolicies
    from services.learner_service.inference.service import inference_service
    from services.learner_service.keda.follower import Followers
    from services.learner_service.keda.scaler import keda_service
    from services.learner_service.loops import LOOPS
    from services.learner_service.rpc import LearnerRpc
    from services.learner_service.runs import Pace, Workshop

    torch.set_num_threads(1)
    settings, registry = outside.settings, outside.registry
    queues = QueueCollectorConfig(timeout_s=settings.rollout_timeout_s)
    collecting = backends.Means(redis=outside.redis, queues=queues, sessions=outside.sessions)
    workshop = Workshop(
        registry=registry,
        loops=LOOPS,
        collectors={backend: opener(collecting) for backend, opener in backends.COLLECTORS.items()},
        make_tracker=lambda: make_trackers(settings.work_directory),
        pace=Pace(
            checkpoint_every_s=settings.checkpoint_every_s, checkpoint_every_steps=settings.checkpoint_every_steps
        ),
        profiles=outside.profiles,
    )
    policies = LoadedPolicies(registry.get_weights, settings.policy_cache, registry.get_policy)
    followers = Followers(registry.get_task, policies, outside.sessions)
    return Parts(
        workshop,
        followers,
        LearnerRpc(registry, policies, run_created, outside.profiles, outside.logs),
        keda_service(followers).servicer,
        inference_service(policies, registry.check).servicer,
    )


def services_of(parts: Callable[[], Parts]) -> list[Service]:
    """What is served; the first call makes the parts."""
    learner = learner_pb2.DESCRIPTOR.services_by_name["LearnerService"]
    keda = externalscaler_pb2.DESCRIPTOR.services_by_name["ExternalScaler"]
    inference = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    return [
        Service(learner, LateServicer(lambda: parts().learner), learner_pb2_grpc.add_LearnerServiceServicer_to_server),
        Service(keda, LateServicer(lambda: parts().keda), externalscaler_pb2_grpc.add_ExternalScalerServicer_to_server),
        Service(
            inference,
            LateServicer(lambda: parts().inference),
            inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server,
        ),
    ]


def work(registry: RegistryClient, parts: Callable[[], Parts], job: Job, shutdown: threading.Event) -> None:
    """Work on a claimed run, whose lease is kept while what the first one needs is imported."""
    with heartbeats(lambda: registry.heartbeat(job), StopSignal(shutdown), BEAT_S):
        workshop = parts().workshop
    workshop.work(job, shutdown)


def main() -> None:
    """Serve with the settings of the environment."""
    settings = read(LearnerSettings, PREFIX)
    make_trackers(settings.work_directory)  # refuse a bad LWMECPS_TRACKING now, not with the first run
    check_folder(settings.variable("work_directory"), settings.work_directory)
    learner_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    channel = connect(settings.registry, read(ClientSettings, CLIENT_PREFIX))
    registry = RegistryClient(channel, settings.registry, learner_id, lease_s=settings.lease_s)
    env_channel = connect(settings.env, read(ClientSettings, CLIENT_PREFIX))
    sessions = Caller(settings.env, EnvServiceStub(env_channel))  # type: ignore[no-untyped-call]
    profiles, logs = Profiles(settings.work_directory / "profiles"), RunLogs()
    outside = Outside(settings, registry, sessions, connect_redis(settings.redis_url), profiles, logs)
    probe = connect_redis(settings.redis_url, timeout_s=2.0)
    parts: Late[Parts] = Late(lambda: open_parts(outside, pool.nudge))
    pool = RunPool(registry, partial(work, registry, parts), settings.slots)

    def let_go() -> None:
        registry.hurry.set()
        if parts.made is not None:
            parts.made.followers.stop()
        if not pool.stop(settings.grace_s / 2):
            log.warning("a run is left in the middle of a step; it goes on from its checkpoint when its lease expires")

    checks: dict[str, Callable[[], None]] = {REGISTRY: registry.check}
    if settings.slots:
        checks[ROLLOUTS] = lambda: check_reachable(probe)
    # Runs are claimed once others can see that this learner is there, and not where its port is taken.
    serve(
        settings,
        services_of(parts),
        name="learner-service",
        on_start=[logs.attach, pool.start],
        on_stop=[let_go],
        checks=checks,
    )
    parts.check()
    if pool.busy:
        end_at_once()


if __name__ == "__main__":
    begin(main, "learner-service")
