"""Workers as processes, with the real simulator, over a real Redis."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.policy_store import RedisPolicyStore
from lwmecps_core.rollout.queue_collector import QueueCollector, QueueCollectorConfig
from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from lwmecps_core.rollout.streams import REPLY_LIMITS, REQUEST_LIMITS, REQUEST_STREAM, reply_stream
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from protos.lwmecps.env.v1 import env_pb2
from services.common.local_redis import LocalRedis
from services.common.worker_reports import WorkerState, read_reports
from services.env_service.worker_reports import WorkerMetrics, report_to_message
from tests.rollout.factory import assert_equal

pytestmark = pytest.mark.e2e
SETTINGS = QueueCollectorConfig(tasks_per_request=1, timeout_s=60)


@pytest.fixture(scope="module")
def server():
    with LocalRedis() as server:
        yield server


@pytest.fixture
def client(server):
    with connect(server.url) as client:
        yield client


@pytest.fixture
def start(server):
    processes = []

    def start(name, *more):
        command = [sys.executable, "-m", "services.env_service.worker", "--name", name, "--redis-url", server.url]
        env = {**os.environ, "LWMECPS_WORKER_CLAIM_IDLE_S": "1", "LWMECPS_WORKER_HEARTBEAT_S": "0.2"}
        processes.append(subprocess.Popen([*command, *more], cwd=Path(__file__).parents[2], env=env))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def collector(client):
    run_id = uuid.uuid4().hex
    requests = RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS)
    return QueueCollector(
        run_id, requests, RedisQueue(client, reply_stream(run_id), REPLY_LIMITS), RedisPolicyStore(client), SETTINGS
    )


def arguments(count=16, per_task=True, config=None, episodes=4):
    config = config or PPOConfig()
    tasks = [draw(TaskDistribution(horizon=60), seed) for seed in range(count)]
    algo = algorithms.make(config, BatchEnv(tasks[:1], [0]).spec)
    params, extra = algo.init(torch.Generator().manual_seed(0))
    if per_task:
        params = {
            g: {k: torch.stack([v * (1 + i / 10) for i in range(count)]) for k, v in m.items()}
            for g, m in params.items()
        }
        extra = {k: torch.stack([v] * count) for k, v in extra.items()}
    plan = CollectionPlan(seeds=tuple(range(count)), episodes=episodes)
    return tasks, PolicySnapshot(config, params, extra, 1, per_task), plan


def test_killing_a_worker_changes_nothing_in_the_result(start, client):
    args = arguments()
    expected = LocalCollector(SETTINGS.tasks_per_request).collect(*args)
    victim, _ = start("victim"), start("survivor")
    asking, got = collector(client), []
    learner = threading.Thread(target=lambda: got.append(asking.collect(*args)))
    learner.start()
    while learner.is_alive() and not any(r.worker_id == "victim" and r.requests for r in read_reports(client)):
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    learner.join()
    for a, b in zip(got[0], expected, strict=True):
        assert_equal(a, b)
    ledger = asking.ledger
    assert ledger.made == ledger.used + ledger.dropped + ledger.queued
    assert ledger.used == 16 * 4 * 60
    asking.close()


def test_worker_reports_what_it_does_and_drains_on_sigterm(start, client):
    worker = start("one")
    asking = collector(client)
    # One environment per product: where batched and single matrix products differ in their last bits.
    args = arguments(3, per_task=False, config=PPOConfig(network="mlp"), episodes=1)
    for a, b in zip(asking.collect(*args), LocalCollector(1).collect(*args), strict=True):
        assert_equal(a, b)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    (report,) = read_reports(client, ["one"])
    assert (report.state, report.requests, report.batches, report.transitions) == (WorkerState.STOPPED, 3, 3, 3 * 60)
    assert report.transitions_per_s > 0
    message = report_to_message(report)
    assert (message.worker_id, message.state) == ("one", env_pb2.WORKER_STATE_STOPPED)
    requests = RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS)
    requests.publish([b"no request"])
    (poison,) = requests.read("two")
    requests.fail("two", poison, "can't be read", fatal=True)
    samples = [s[:3] for m in WorkerMetrics(lambda: [report], requests).collect() for s in m.samples]
    assert ("lwmecps_worker_transitions_total", {"worker": "one"}, 180.0) in samples
    assert ("lwmecps_collection_requests", {"state": "dead"}, 1.0) in samples
    asking.close()


def test_a_worker_whose_parent_was_gone_before_it_could_look_ends(start):
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert start("orphan", "--parent", str(gone.pid)).wait(timeout=60) == 0
