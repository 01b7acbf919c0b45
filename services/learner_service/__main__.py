"""`python -m services.learner_service`: work on runs, and answer `LearnerService`, until SIGTERM."""

import os
import secrets
import socket
from collections.abc import Callable

if __name__ == "__main__":  # whoever imports this has an environment of his own
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small tensors are faster on one thread

import torch

from lwmecps_core.rollout.queue_collector import QueueCollectorConfig
from lwmecps_core.rollout.redis_queue import check_reachable
from lwmecps_core.rollout.redis_queue import connect as connect_redis
from lwmecps_core.tracking import make_trackers
from protos.lwmecps.env.v1.env_pb2_grpc import EnvServiceStub
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import add_LearnerServiceServicer_to_server
from services.common.client import Caller, connect
from services.common.health import REGISTRY, ROLLOUTS
from services.common.server import Service, serve
from services.common.settings import ClientSettings, read
from services.common.starting import begin, check_folder
from services.learner_service.acting import LoadedPolicies
from services.learner_service.backends import COLLECTORS, Means
from services.learner_service.inference.service import inference_service
from services.learner_service.keda.follower import Followers
from services.learner_service.keda.scaler import keda_service
from services.learner_service.loops import LOOPS
from services.learner_service.profiles import Profiles
from services.learner_service.registry_client import RegistryClient
from services.learner_service.rpc import LearnerRpc
from services.learner_service.run_logs import RunLogs
from services.learner_service.run_pool import RunPool
from services.learner_service.runs import Pace, Workshop
from services.learner_service.settings import CLIENT_PREFIX, PREFIX, LearnerSettings


def main() -> None:
    """Serve with the settings of the environment."""
    torch.set_num_threads(1)
    settings = read(LearnerSettings, PREFIX)
    make_trackers(settings.work_directory)  # refuse a bad LWMECPS_TRACKING now, not with the first run
    check_folder(settings.variable("work_directory"), settings.work_directory)
    learner_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    channel = connect(settings.registry, read(ClientSettings, CLIENT_PREFIX))
    registry = RegistryClient(channel, settings.registry, learner_id, lease_s=settings.lease_s)
    env_channel = connect(settings.env, read(ClientSettings, CLIENT_PREFIX))
    means = Means(
        redis=connect_redis(settings.redis_url),
        queues=QueueCollectorConfig(timeout_s=settings.rollout_timeout_s),
        sessions=Caller(settings.env, EnvServiceStub(env_channel)),  # type: ignore[no-untyped-call]
    )
    probe = connect_redis(settings.redis_url, timeout_s=2.0)
    profiles, logs = Profiles(settings.work_directory / "profiles"), RunLogs()
    workshop = Workshop(
        registry=registry,
        loops=LOOPS,
        collectors={backend: opener(means) for backend, opener in COLLECTORS.items()},
        make_tracker=lambda: make_trackers(settings.work_directory),
        pace=Pace(
            checkpoint_every_s=settings.checkpoint_every_s, checkpoint_every_steps=settings.checkpoint_every_steps
        ),
        profiles=profiles,
    )
    pool = RunPool(workshop, settings.slots)
    policies = LoadedPolicies(registry.get_weights, settings.policy_cache, registry.get_policy)
    servicer = LearnerRpc(registry, policies, pool.nudge, profiles, logs)
    service = Service(
        learner_pb2.DESCRIPTOR.services_by_name["LearnerService"], servicer, add_LearnerServiceServicer_to_server
    )

    followers = Followers(registry.get_task, policies, means.sessions)

    def let_go() -> None:
        registry.hurry.set()
        followers.stop()
        pool.stop(settings.grace_s / 2)

    checks: dict[str, Callable[[], None]] = {REGISTRY: registry.check}
    if settings.slots:
        checks[ROLLOUTS] = lambda: check_reachable(probe)
    # Runs are claimed once others can see that this learner is there, and not where its port is taken.
    services = [service, keda_service(followers), inference_service(policies, registry.check)]
    serve(
        settings, services, name="learner-service", on_start=[logs.attach, pool.start], on_stop=[let_go], checks=checks
    )


if __name__ == "__main__":
    begin(main, "learner-service")
