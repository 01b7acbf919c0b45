"""The public Python client against real services: pages, streams, errors, sessions, policies."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from lwmecps_core import algorithms
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.face.policies import ActingPolicy, load_policy
from lwmecps_core.policy import PolicyData, to_bytes
from lwmecps_core.run_config import PPOConfig
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.registry.v1 import registry_pb2 as pb
from services.client import BadInput, CallFailed, CallRefused, Client, NothingThere, Unreachable, array_of, tensor_of
from services.common import convert, weights
from services.common.client import Caller
from tests.env_service.conftest import Served, make_task, serve
from tests.learner_service.conftest import Learner, Registry, registry, start_learner
from tests.learner_service.fakes import summing_loop, wait_until

__all__ = ["registry", "serve", "start_learner"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class System:
    """The three services, and a client of them."""

    client: Client
    registry: Registry

    @property
    def where(self) -> list[str]:
        """Addresses as the example takes them."""
        return [f"{name}={address}" for name, address in self.client.addresses.items()]

    def store(self, context: str = "statistics") -> str:
        """The id of a stored policy for `make_task`."""
        cfg, spec = PPOConfig(context=context), env_spec(make_task())  # type: ignore[arg-type]
        params, extra = algorithms.make(cfg, spec).init(torch.Generator().manual_seed(1))
        policy = PolicyData(cfg, spec, params, extra)
        registry = Caller(self.registry.address, self.registry.stub)
        return weights.store(registry, policy, to_bytes(policy), "p").id


@pytest.fixture
def system(registry: Registry, start_learner: Callable[..., Learner], serve: Callable[..., Served]) -> Iterator[System]:
    learner, env = start_learner(summing_loop(5)), serve()
    addresses = {"env": env.server.address, "learner": learner.server.address}
    with Client(registry=registry.address, **addresses) as client:
        yield System(client, registry)


def test_tasks_come_page_by_page_as_they_are_asked_for(system: System) -> None:
    made = [system.client.create_task({"distribution": {"nodes": 3}}, name=f"t{i}").id for i in range(5)]
    request = pb.ListTasksRequest(page_size=2)
    assert [task.id for task in system.client.pages(request, "tasks")] == made[::-1]
    assert request.page_token == "", "the caller's request stays as it was"
    assert next(iter(system.client.tasks())).id == made[-1]
    assert system.client.task(made[0]).distribution.nodes == 3


def test_a_run_is_started_watched_and_its_rows_are_read(system: System) -> None:
    task = system.client.create_task(convert.task_to_message(make_task()))
    run = system.client.start(learner_pb2.StartTrainingRequest(task_ids=[task.id], label="mine"))
    seen = [news.step for news in system.client.watch(run.id)]
    assert seen == sorted(seen) and seen[-1] == 5
    ended = system.client.wait(run.id)
    assert ended.step == 5
    assert [r.id for r in system.client.runs(state="completed", kind="train")] == [run.id]
    assert list(system.client.runs(state="paused")) == []
    assert all(row.method == "mine" for row in system.client.rows(run.id))


def test_errors_are_exceptions_with_the_fields_that_are_bad(system: System) -> None:
    with pytest.raises(BadInput) as caught:
        system.client.create_task({"distribution": {"nodes": 0}})
    (violation,) = caught.value.violations
    assert violation.field == "distribution.nodes" and "greater than or equal to 1" in violation.reason
    with pytest.raises(NothingThere, match="task not found: nope"):
        system.client.task("nope")
    with pytest.raises(NothingThere):
        list(system.client.watch("nope"))
    task = system.client.create_task(convert.task_to_message(make_task()))
    run = system.client.start(learner_pb2.StartTrainingRequest(task_ids=[task.id]))
    wait_until(lambda: system.client.run(run.id).step == 5, 20.0)
    wait_until(lambda: bool(list(system.client.runs(state="completed"))), 20.0)
    with pytest.raises(CallRefused):
        system.client.pause(run.id)


def test_a_service_that_nobody_runs_is_named(registry: Registry) -> None:
    with Client(registry="127.0.0.1:9", timeout_s=2.0) as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        client.task("x")


def test_a_message_that_is_no_request_is_refused(system: System) -> None:
    with pytest.raises(TypeError, match="is no request of any service"):
        system.client.call(pb.Task())


def test_a_session_acts_as_the_library_does_with_the_same_weights(system: System) -> None:
    policy_id = system.store()
    policy: ActingPolicy = load_policy(system.client.weights(policy_id))
    with system.client.session(convert.task_to_message(make_task()), num_envs=3, seed=2) as session:
        shown, info = session.reset(), None
        while not shown.over:
            action = session.act(policy_id)
            own = policy.act(shown.obs, info or {"action_mask": shown.mask})
            np.testing.assert_array_equal(action, own)
            shown = session.step(action)
            info = {**shown.info, "action_mask": shown.mask}
    assert set(shown.info) == set(session.info_keys) and shown.reward is not None and shown.reward.shape == (3,)


def test_the_library_gets_policies_by_their_ids(system: System) -> None:
    fetched = load_policy(weights.fetch(system.store(), system.registry.address))
    assert fetched.spec == env_spec(make_task())


def test_the_example_prints_a_line_for_every_interval(system: System) -> None:
    task = system.client.create_task(convert.task_to_message(make_task()))
    words = [sys.executable, str(ROOT / "examples/client.py"), system.store(), task.id, *system.where]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=100, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert (ran.returncode, len(ran.stdout.splitlines())) == (0, make_task().horizon), ran.stderr


@pytest.mark.parametrize(("task", "says"), [("nope", "task not found: nope"), ("", "usage: client.py POLICY TASK")])
def test_the_example_says_in_a_line_what_is_wrong(system: System, task: str, says: str) -> None:
    words = [sys.executable, str(ROOT / "examples/client.py"), "policy", *([task] if task else []), *system.where[:1]]
    words = words if task else words[:3]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=100, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert ran.returncode == 1 and ran.stderr.strip().startswith(says)


def test_the_client_loads_nothing_of_the_library() -> None:
    code = "import sys, services.client; print([m for m in sys.modules if m.startswith(('lwmecps_core', 'torch'))])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool", "uint8"])
def test_arrays_travel_unchanged(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = array_of(tensor_of(array))
    assert back.dtype == array.dtype and (back == array).all() and back.flags.writeable


def test_an_array_that_can_not_be_sent_is_refused() -> None:
    with pytest.raises(TypeError, match="complex128 can't be sent"):
        tensor_of(np.zeros(2, np.complex128))


def test_weights_that_were_never_uploaded_are_an_error(system: System) -> None:
    request = pb.CreatePolicyRequest(name="empty", algorithm=convert.algorithm_to_message(PPOConfig()))
    request.env_spec.CopyFrom(convert.env_spec_to_message(env_spec(make_task())))
    with pytest.raises(CallFailed, match="Model file not found"):
        system.client.weights(system.client.call(request).policy.id)
