"""Many sessions of env-service that are stepped side by side, each held against a simulator of its own."""

import random
from functools import partial
from typing import Any

import numpy as np

from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from protos.lwmecps.common.v1 import tensor_pb2
from protos.lwmecps.env.v1 import env_pb2
from services.cli.clients import Clients
from services.common import convert
from services.env_service.messages import FrameWriter
from services.env_service.session import SimulatedSession
from tests.chaos.latency import Echo, Race, together

CITY = TaskDistribution(family="mec_city", env_id="lwmecps-v4", nodes=4, deployments=4, max_replicas=6, horizon=20)


class Twin:
    """A session at the service (once opened) and the same one here, with a task, a seed and actions of its own."""

    def __init__(self, clients: Clients, number: int) -> None:
        self._clients, self._number = clients, number
        task: TaskSpec = draw(CITY, number)
        self._task = convert.task_to_message(task)
        self._here = SimulatedSession(task, 1, number)
        self._writer = FrameWriter(self._here.spec, 1)
        self._rng = np.random.default_rng(number)
        self._id = ""
        self._expected = list[bytes]()
        self.next_action: tensor_pb2.Tensor = self._draw()

    def open(self) -> bytes:
        """Create and reset; what it shows."""
        create = env_pb2.CreateSessionRequest(task=self._task, num_envs=1, seed=self._number)
        self._id = self._clients.env("CreateSession", create).session_id
        return _bytes(self._clients.env("ResetSession", env_pb2.ResetSessionRequest(session_id=self._id)).transition)

    def step(self, action: tensor_pb2.Tensor) -> bytes:
        """Step at the service; what it shows."""
        request = env_pb2.StepSessionRequest(session_id=self._id, action=action, with_info=True)
        return _bytes(self._clients.env("StepSession", request).transition)

    def close(self) -> None:
        """Close at the service."""
        self._clients.env("CloseSession", env_pb2.CloseSessionRequest(session_id=self._id))

    def expected_opening(self) -> bytes:
        """What `open` must show."""
        shown = env_pb2.Transition()
        self._writer.write(self._here.reset(None), False, shown)
        return _bytes(shown)

    def expected_step(self) -> bytes:
        """What stepping by `next_action` must show; draws another action."""
        shown, action = env_pb2.Transition(), self.next_action
        array = np.frombuffer(action.data, np.int32).reshape(tuple(action.shape))
        self._writer.write(self._here.step(array), True, shown)
        self.next_action = self._draw()
        return _bytes(shown)

    def _draw(self) -> tensor_pb2.Tensor:
        action = self._rng.integers(0, self._here.spec.nvec, dtype=np.int32)[None]
        return tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_INT32, shape=action.shape, data=action.tobytes())


def step_sessions(clients: Clients, echo: Echo, *, sessions: int, steps: int, threads: int) -> dict[str, Any]:
    """Open all, step each `steps` times in random order, close all; how long a step took and how many went wrong."""
    twins, race, rng = [Twin(clients, number) for number in range(sessions)], Race(threads, echo), random.Random(1)
    opened, _ = together(threads, [twin.open for twin in twins])
    wrong = sum(shown != twin.expected_opening() for shown, twin in zip(opened, twins, strict=True))
    for _ in range(steps):
        rng.shuffle(twins)
        shown = race.round([partial(twin.step, twin.next_action) for twin in twins])
        wrong += sum(one != twin.expected_step() for one, twin in zip(shown, twins, strict=True))
    together(threads, [twin.close for twin in twins])
    return {"sessions": sessions, "wrong": wrong, "StepSession": race.report(), "holds": not wrong}


def _bytes(transition: env_pb2.Transition) -> bytes:
    return transition.SerializeToString(deterministic=True)
