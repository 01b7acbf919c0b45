"""Where memories are kept, and what happens where they can't be."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lwmecps_core.context.artefact import Knowledge, from_bytes, subject_of, to_bytes
from lwmecps_core.context.base import PREFIX
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import Conflict, InvalidInput, ServiceUnavailable
from lwmecps_core.run_config import PPOConfig
from protos.lwmecps.registry.v1 import policy_pb2 as pb
from services.cli import memory as module
from services.cli.clients import Addresses, Clients
from services.cli.memory import Keeper, keeper_of
from services.cli.places import InFile, InRegistry, place
from services.common import convert
from tests.sim.random_tasks import random_task

TASK = random_task(2, nodes=3, deployments=2)
SUBJECT = subject_of(TASK, env_spec(TASK), "statistics")


def remembered(intervals: float) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    memory = {PREFIX + name: x for name, x in Statistics(env_spec(TASK)).begin(1).items()}
    return {**memory, "context/intervals": np.array([float(intervals)])}


class Shelf:
    """A place that fails as the test wants it."""

    def __init__(self, every_s: float = 0.0) -> None:
        self.every_s, self.error, self.kept = every_s, None, list[float]()

    def read(self) -> bytes | None:
        return None

    def write(self, content: bytes) -> None:
        if self.error:
            raise self.error
        self.kept.append(float(from_bytes(content, "shelf").memory["context/intervals"][0]))


def test_every_change_is_kept_in_a_file_and_whole_at_all_times(tmp_path: Path) -> None:
    at = InFile(tmp_path / "m")
    assert at.read() is None
    keeper = Keeper(at, SUBJECT)
    for i in range(3):
        keeper.keep(remembered(i))
        assert from_bytes(at.read() or b"", "m").memory["context/intervals"] == i
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_the_last_is_kept_at_the_end_where_not_every_one_is() -> None:
    shelf = Shelf(every_s=1000.0)
    keeper = Keeper(shelf, SUBJECT)
    for i in range(5):
        keeper.keep(remembered(i))
    assert shelf.kept == [0]
    keeper.close()
    keeper.close()
    assert shelf.kept == [0, 4]


def test_a_place_that_can_not_be_written_is_an_error_at_first_and_at_the_end() -> None:
    shelf = Shelf()
    shelf.error = ServiceUnavailable("the registry is away")
    with pytest.raises(ServiceUnavailable):
        Keeper(shelf, SUBJECT).keep(remembered(0))
    shelf.error, keeper = None, Keeper(shelf, SUBJECT)
    keeper.keep(remembered(0))
    shelf.error = ServiceUnavailable("the registry is away")
    keeper.keep(remembered(1))
    keeper.keep(remembered(2))
    with pytest.raises(ServiceUnavailable):
        keeper.close()
    shelf.error = None
    keeper.keep(remembered(3))
    assert shelf.kept == [0, 3]


def test_one_warning_is_given_for_one_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.errors, "print", lambda text, **_: said.append(text))
    shelf = Shelf()
    keeper = Keeper(shelf, SUBJECT)
    keeper.keep(remembered(0))
    shelf.error = ServiceUnavailable("the registry is away")
    for i in range(1, 4):
        keeper.keep(remembered(i))
    assert len(said) == 1 and "the registry is away" in said[0]


def test_what_somebody_else_wrote_is_not_replaced() -> None:
    shelf = Shelf()
    keeper = Keeper(shelf, SUBJECT)
    keeper.keep(remembered(0))
    shelf.error = Conflict("changed")
    with pytest.raises(Conflict):
        keeper.keep(remembered(1))


def test_a_place_in_the_registry_needs_a_name_and_a_registered_task(tmp_path: Path) -> None:
    clients = Clients(Addresses())
    assert isinstance(place(clients, "registry:edge", "task-1"), InRegistry)
    assert isinstance(place(clients, "edge.safetensors", "task.yaml"), InFile)
    for where, task in (("registry:", "task-1"), ("registry:edge", ""), ("registry:edge", "task.yaml")):
        with pytest.raises(InvalidInput, match="memory: registry:NAME needs a name"):
            place(clients, where, task)
    with pytest.raises(InvalidInput, match="can't be read: Is a directory"):
        InFile(tmp_path).read()
    with pytest.raises(InvalidInput, match="can't be written: No such file"):
        InFile(tmp_path / "absent" / "m").write(b"x")


def test_two_who_keep_memories_in_one_file_do_not_lose_each_others(tmp_path: Path) -> None:
    first, second = InFile(tmp_path / "m"), InFile(tmp_path / "m")
    for at in (first, second):
        assert at.read() is None
    Keeper(first, SUBJECT).keep(remembered(1))
    with pytest.raises(Conflict, match=r"m: somebody else keeps a memory there"):
        Keeper(second, SUBJECT).keep(remembered(2))
    assert from_bytes(first.read() or b"", "m").memory["context/intervals"] == 1
    (tmp_path / "m").unlink()
    first.write(b"again")  # who takes it away has lost nothing
    InFile(tmp_path / "m").write(b"a copy that is asked for replaces what is there")


def test_a_memory_of_another_cluster_or_of_longer_intervals_is_refused_with_both(tmp_path: Path) -> None:
    path, policy = tmp_path / "m", pb.Policy(algorithm=convert.algorithm_to_message(PPOConfig(context="statistics")))
    clients: Any = SimpleNamespace(registry=lambda *_: SimpleNamespace(policy=policy))
    keeper_of(clients, str(path), "task.yaml", TASK, "policy").keep(remembered(3))
    assert keeper_of(clients, str(path), "task.yaml", TASK, "policy").start["context/intervals"] == 3
    with pytest.raises(InvalidInput, match=rf"task: what lies there is of {TASK.name}; .* of another elsewhere"):
        keeper_of(clients, str(path), "task.yaml", replace(TASK, name="another"), "policy")
    with pytest.raises(InvalidInput, match=r"interval_s: 10.0 in the memory, 60.0 in the policy and task"):
        keeper_of(clients, str(path), "task.yaml", replace(TASK, interval_s=60.0), "policy")
    with pytest.raises(InvalidInput, match="memory: is empty"):
        keeper_of(clients, "", "task.yaml", TASK, "policy")


def test_a_file_that_holds_what_is_infinite_is_refused_by_its_name(tmp_path: Path) -> None:
    InFile(tmp_path / "m").write(to_bytes(Knowledge(SUBJECT, remembered(np.inf))))
    with pytest.raises(InvalidInput, match=r"memory\[intervals\]: holds inf; at most"):
        from_bytes(InFile(tmp_path / "m").read() or b"", "m")
