"""The service as its users start it: a process with workers beside it, which ends in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.policy_store import RedisPolicyStore
from lwmecps_core.rollout.queue_collector import QueueCollector
from lwmecps_core.rollout.redis_queue import RedisQueue, connect
from lwmecps_core.rollout.streams import REQUEST_LIMITS, REQUEST_STREAM, reply_stream
from lwmecps_core.run_config import PPOConfig
from protos.lwmecps.env.v1 import env_pb2 as pb
from protos.lwmecps.env.v1 import env_pb2_grpc
from services.common.local_redis import LocalRedis
from services.common.worker_reports import WorkerReport, WorkerState
from services.env_service.supervisor import ChildStatus
from services.env_service.workers import merged_status
from tests.env_service.conftest import make_task

ROOT = Path(__file__).resolve().parents[2]
START_S = 90.0


@pytest.fixture
def redis_url() -> Iterator[str]:
    with LocalRedis() as server:
        yield server.url


def _start(**settings: str) -> tuple["subprocess.Popen[str]", str]:
    """The process and the address that it logs."""
    env = {**os.environ, "LWMECPS_ENV_PORT": "0", "LWMECPS_ENV_LOG_FORMAT": "json", **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.env_service"], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if '"event": "listening"' in line:
            return process, line.split('"address": "')[1].split('"')[0]
    pytest.fail("the service ended before it listened")


def _workers(stub: env_pb2_grpc.EnvServiceStub) -> list[pb.WorkerStatus]:
    return list(stub.GetWorkerStatus(pb.GetWorkerStatusRequest()).workers)


@pytest.mark.e2e
def test_workers_collect_and_everything_ends_on_sigterm(redis_url: str) -> None:
    process, address = _start(LWMECPS_ENV_REDIS_URL=redis_url, LWMECPS_ENV_COLLECTION_WORKERS="1")
    try:
        with grpc.insecure_channel(address) as channel:
            stub = env_pb2_grpc.EnvServiceStub(channel)
            task = make_task("lwmecps-v3")
            config = PPOConfig(network="mlp")
            params, extra = algorithms.make(config, env_spec(task)).init(torch.Generator().manual_seed(0))
            client = connect(redis_url)
            collector = QueueCollector(
                "r1",
                RedisQueue(client, REQUEST_STREAM, REQUEST_LIMITS),
                RedisQueue(client, reply_stream("r1")),
                RedisPolicyStore(client),
            )
            snapshot = PolicySnapshot(config, params, extra, 1)
            batches = collector.collect([task], snapshot, CollectionPlan(seeds=(1,), episodes=3))
            assert batches[0].reward.shape == (task.horizon, 3)
            end = time.monotonic() + START_S
            while not (workers := _workers(stub)) or workers[0].transitions < 3 * task.horizon:
                assert time.monotonic() < end, "the worker's report never arrived"
                time.sleep(0.1)
            assert len(workers) == 1
            assert workers[0].state in (pb.WORKER_STATE_IDLE, pb.WORKER_STATE_COLLECTING)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def test_unknown_setting_is_refused_by_name() -> None:
    env = {**os.environ, "LWMECPS_ENV_MAX_SESION": "3"}
    done = subprocess.run(
        [sys.executable, "-m", "services.env_service"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert (
        done.stderr == "environment: LWMECPS_ENV_MAX_SESION: no such setting: did you mean LWMECPS_ENV_MAX_SESSIONS?\n"
    )


def test_worker_that_does_not_run_is_reported_stopped_and_why() -> None:
    children = [
        ChildStatus("a", 11, 0, ""),
        ChildStatus("b", None, 2, "ended with exit code 1"),
        ChildStatus("c", 13, 0, ""),
    ]
    reports = [WorkerReport("a", WorkerState.COLLECTING, transitions=5), WorkerReport("b", WorkerState.IDLE)]
    a, b, c = merged_status(children, reports, "Redis can't be reached")
    assert (a.state, a.transitions) == (pb.WORKER_STATE_COLLECTING, 5)
    assert (b.state, b.last_error) == (pb.WORKER_STATE_STOPPED, "ended with exit code 1")
    assert (c.state, c.last_error) == (pb.WORKER_STATE_STOPPED, "Redis can't be reached")
