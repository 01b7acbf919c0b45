"""A remote environment is the local one: every observation, mask, reward and measurement, bit for bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lwmecps_core.batch import INFO_KEYS
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.rollout.tensor_codec import tensor_from_proto
from lwmecps_core.seeding import generator
from lwmecps_core.specs import ALL_ENV_IDS
from protos.lwmecps.env.v1 import env_pb2 as pb
from services.common import convert
from tests.env_service.conftest import Served, make_task, tensor

WIDTH, SEED, HORIZON = 3, 41, 5


class Local:
    """`BatchEnv` with next-step autoreset, written down as plainly as possible."""

    def __init__(self, env_id: str) -> None:
        self.env = BatchEnv([make_task(env_id, HORIZON)], np.zeros(WIDTH, np.int64))
        self.rng = generator(SEED)
        self.over = np.zeros(WIDTH, bool)

    def seeds(self) -> Any:
        return self.rng.integers(0, 2**63, WIDTH, dtype=np.uint64)

    def step(self, action: Any) -> tuple[Any, ...]:
        if action is None:
            obs, mask = self.env.reset(self.seeds())
            return obs.copy(), mask.copy(), np.stack([self.env.info()[k] for k in INFO_KEYS])
        over = self.over
        obs, mask, reward, terminated, truncated, info = self.env.step(action)
        if over.any():
            obs, mask = self.env.reset_where(over, self.seeds())
        reward = np.where(over, np.float32(0), reward)
        terminated, truncated = terminated & ~over, truncated & ~over
        self.over = terminated | truncated
        rows = np.stack([info[key] for key in INFO_KEYS])
        return obs.copy(), mask.copy(), rows, reward, terminated, truncated


def _arrays(transition: pb.Transition) -> tuple[Any, ...]:
    names = ["observation", "mask", "info"]
    if transition.HasField("reward"):
        names += ["reward", "terminated", "truncated"]
    return tuple(tensor_from_proto(getattr(transition, name)) for name in names)


def _actions(env: BatchEnv) -> list[Any]:
    rng = np.random.default_rng(0)
    shape = (WIDTH, env.spec.action_size)
    if not env.spec.discrete:
        return [rng.random(shape, np.float32) for _ in range(2 * HORIZON + 3)]
    return [rng.integers(0, env.spec.nvec, shape).astype(np.int32) for _ in range(2 * HORIZON + 3)]


def _by_calls(served: Served, session_id: str, actions: list[Any]) -> list[tuple[Any, ...]]:
    first = served.stub.ResetSession(pb.ResetSessionRequest(session_id=session_id, with_info=True))
    frames = [_arrays(first.transition)]
    for action in actions:
        request = pb.StepSessionRequest(session_id=session_id, action=tensor(action), with_info=True)
        frames.append(_arrays(served.stub.StepSession(request).transition))
    return frames


def _by_stream(served: Served, session_id: str, actions: list[Any]) -> list[tuple[Any, ...]]:
    requests = [pb.StepStreamRequest(session_id=session_id, reset=pb.Reset(), with_info=True)]
    requests += [pb.StepStreamRequest(action=tensor(action), with_info=True) for action in actions]
    return [_arrays(response.transition) for response in served.stub.StepStream(iter(requests))]


@pytest.mark.parametrize("drive", [_by_calls, _by_stream])
@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
def test_remote_episodes_equal_local_ones(
    serve: Callable[..., Served], env_id: str, drive: Callable[..., list[tuple[Any, ...]]]
) -> None:
    served, local = serve(), Local(env_id)
    task = convert.task_to_message(make_task(env_id, HORIZON))
    created = served.stub.CreateSession(pb.CreateSessionRequest(task=task, num_envs=WIDTH, seed=SEED))
    assert convert.env_spec_from_message(created.env_spec) == local.env.spec
    assert tuple(created.info_keys) == INFO_KEYS
    actions = _actions(local.env)
    frames = drive(served, created.session_id, actions)
    for t, (remote, action) in enumerate(zip(frames, [None, *actions], strict=True)):
        expected = local.step(action)
        assert len(remote) == len(expected)
        for got, wanted in zip(remote, expected, strict=True):
            assert got.dtype == wanted.dtype
            assert got.shape == wanted.shape
            assert got.tobytes() == wanted.tobytes(), f"step {t}"


def test_seed_of_a_reset_repeats_an_episode(serve: Callable[..., Served]) -> None:
    served = serve()
    created = served.stub.CreateSession(pb.CreateSessionRequest(task=convert.task_to_message(make_task())))
    first, second, other = (
        served.stub.ResetSession(pb.ResetSessionRequest(session_id=created.session_id, seed=seed)).transition
        for seed in (5, 5, 6)
    )
    assert first.observation.data == second.observation.data
    assert first.observation.data != other.observation.data
