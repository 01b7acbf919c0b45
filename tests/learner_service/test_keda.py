"""The scaler for KEDA over real gRPC: asked as KEDA asks, about clusters that a real env-service simulates."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import numpy as np
import pytest

from lwmecps_core import algorithms, baselines
from lwmecps_core.acting import REWARD_TERMS, Acted, Seen
from lwmecps_core.cluster.simulated import SimulatedCluster
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import NotFound
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.actor import AnyArray
from lwmecps_core.rollout.deciding import Before
from lwmecps_core.rollout.play import play
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import KubernetesSpec, TaskDistribution, TaskSpec
from lwmecps_core.training.sampling import torch_generator
from protos.keda import externalscaler_pb2 as pb
from protos.keda.externalscaler_pb2_grpc import ExternalScalerStub
from services.common.client import Caller
from services.common.server import RunningServer, start
from services.common.sessions import SessionEnv
from services.common.settings import ServerSettings
from services.env_service import backends
from services.learner_service.acting import LoadedPolicies
from services.learner_service.keda.follower import Follower, Followers, watched
from services.learner_service.keda.scaler import keda_service
from services.learner_service.keda.sizer import DrawnPolicy, Size, Sizer, placement_of
from services.learner_service.keda.trigger import Sizing
from tests.env_service.conftest import Served, make_task, serve

from .fakes import wait_until

__all__ = ["serve"]

CLUSTER = KubernetesSpec(namespace="edge", usage="simulated", pace=200.0)
TASK = make_task(kubernetes=CLUSTER)
TRIGGER = {"scalerAddress": "learner:50053", "policy": "p", "task": "t", "deployment": "d0", "sure_share": "0"}


def _policy(task: TaskSpec, context: str = "statistics") -> PolicyData:
    config, spec = PPOConfig(hidden_size=(8, 8), context=context), env_spec(task)  # type: ignore[arg-type]
    params, extra = algorithms.make(config, spec).init(torch_generator(3, "weights"))
    return PolicyData(config, spec, params, extra)


@dataclass
class World:
    """An env-service that takes the simulator for a real cluster, and learners that can be killed and started."""

    served: Served
    tasks: dict[str, TaskSpec | TaskDistribution] = field(default_factory=lambda: {"t": TASK})
    policies: dict[str, PolicyData] = field(default_factory=lambda: {"p": _policy(TASK)})
    followers: list[Followers] = field(default_factory=list)
    servers: list[RunningServer] = field(default_factory=list)

    def learner(self, **options: Any) -> ExternalScalerStub:
        self.followers.append(Followers(self._task, LoadedPolicies(self._weights), self.sessions, **options))
        self.servers.append(start(ServerSettings(log_level="error"), [keda_service(self.followers[-1])]))
        return ExternalScalerStub(grpc.insecure_channel(self.servers[-1].address))

    def kill(self) -> None:
        self.followers.pop().stop()
        self.servers.pop().drain(0.0)

    @property
    def sessions(self) -> Caller:
        return Caller("env", self.served.stub)

    def _task(self, name: str) -> TaskSpec | TaskDistribution:
        if name not in self.tasks:
            raise NotFound("task", name)
        return self.tasks[name]

    def _weights(self, name: str) -> PolicyData:
        if name not in self.policies:
            raise NotFound("policy", name)
        return self.policies[name]


@pytest.fixture
def world(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setitem(backends.CLUSTERS, "kubernetes", SimulatedCluster)
    made = World(serve())
    yield made
    while made.servers:
        made.kill()


def _ref(namespace: str = "edge", **changes: str) -> pb.ScaledObjectRef:
    metadata = {key: value for key, value in {**TRIGGER, **changes}.items() if value}
    return pb.ScaledObjectRef(name="web", namespace=namespace, scalerMetadata=metadata)


def _poll(stub: ExternalScalerStub, ref: pb.ScaledObjectRef) -> tuple[float, bool] | str:
    """What KEDA does in every polling interval: the value that counts and whether it is active, or why not."""
    try:
        while True:
            value, active = _value(stub, ref), stub.IsActive(ref, timeout=20).result
            if _value(stub, ref) == value:  # else another size came between the two questions
                return value, active
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def _value(stub: ExternalScalerStub, ref: pb.ScaledObjectRef) -> float:
    answer = stub.GetMetrics(pb.GetMetricsRequest(scaledObjectRef=ref, metricName="replicas"), timeout=20)
    (value,) = answer.metricValues
    return value.metricValueFloat if value.metricValueFloat > 0 else float(value.metricValue)


def _polled(stub: ExternalScalerStub, ref: pb.ScaledObjectRef) -> tuple[float, bool]:
    """The first answer that is a value."""
    found: list[Any] = [""]

    def known() -> bool:
        found[0] = _poll(stub, ref)
        assert not isinstance(found[0], str) or found[0].startswith("UNAVAILABLE: no size of task t yet"), found[0]
        return not isinstance(found[0], str)

    wait_until(known, 120.0)
    return found[0]


def test_the_metric_is_replicas_with_a_target_of_one_in_both_ways_to_say_it(world: World) -> None:
    stub = world.learner()
    (spec,) = stub.GetMetricSpec(_ref(), timeout=20).metricSpecs
    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == ("replicas", 1, 1.0)
    stream = stub.StreamMetricSpec(_ref(), timeout=20)
    assert list(next(stream).metricSpecs) == [spec]
    stream.cancel()


def test_deployments_of_a_task_share_one_session_and_are_told_apart(world: World) -> None:
    stub = world.learner()
    values = [_polled(stub, _ref(deployment=name)) for name in ("d0", "d1")]
    at_nodes = [_polled(stub, _ref(node=f"n{i}")) for i in range(3)]
    assert all(0 <= value <= 4 and active == (value > 0) for value, active in [*values, *at_nodes])
    assert len(world.served.sessions) == 1


@pytest.mark.parametrize("context", ["none", "statistics", "recurrent"])
def test_sizes_are_those_that_the_policy_acting_there_would_choose(world: World, context: str) -> None:
    world.policies["p"] = _policy(TASK, context)
    follower = Follower(
        Sizing(policy="p", task="t", sure_share=0), TASK, LoadedPolicies(world._weights), world.sessions
    )
    sizes: list[Size] = []
    tell = follower._sizer.tell
    follower._sizer.tell = lambda size: (sizes.append(size), tell(size))[1]
    follower.start()
    wait_until(lambda: len(sizes) >= 12, 160.0)  # the first of them compiles the simulator
    follower.stop()

    env, actor = SessionEnv(world.sessions, watched(TASK), "kubernetes"), _Acting(LoadedPolicies(world._weights))
    intervals = play(env, actor, {}, env.reset(None), iter([None] * 12))
    nothing = np.zeros((2, 3), np.int32)
    wanted = [placement_of(TASK, now.acted.action, nothing).tolist() for now in intervals]
    assert [size.placement.tolist() for size in sizes[:12]] == wanted
    assert {word for size in sizes for word in size.by} == {"policy"}


@dataclass
class _Acting:
    """The policy as `Act` would have it, memory in and out."""

    policies: LoadedPolicies
    noise_size = 0

    def act(self, memory: Mapping[str, AnyArray], seen: Seen[AnyArray], noise: Any) -> Acted[AnyArray]:
        before = Before(memory, seen.reward_terms, seen.action, seen.first)
        return self.policies.act("p", seen.obs, seen.mask, env_spec(TASK), greedy=True, before=before)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policy": ""}, "policy"),
        ({"policy": "gone"}, "policy not found: gone"),
        ({"task": "nowhere"}, "task not found: nowhere"),
        ({"task": "family"}, "task: is a distribution"),
        ({"task": "turns"}, "task: lwmecps-v2 does not scale"),
        ({"task": "other"}, "can't act in lwmecps-v3"),
        ({"deployment": "web"}, "deployment: 'web' is none of the task's: d0, d1"),
        ({"deployment": ""}, "deployment: '' is none of the task's: d0, d1"),
        ({"node": "n9"}, "node: 'n9' is none of the task's: n0, n1, n2"),
        ({"hold_s": "soon"}, "hold_s"),
        ({"hold_s": "nan"}, "hold_s"),
        ({"sure_share": "2"}, "sure_share"),
        ({"backend": "docker"}, "backend"),
        ({"treshold": "5"}, "treshold"),
        ({"namespace": "default"}, "Deployments are in namespace edge, the ScaledObject in default"),
        ({"task": "homeless"}, "does not say where its cluster is"),
    ],
)
def test_a_wrong_trigger_is_refused_by_name(world: World, changes: dict[str, str], said: str) -> None:
    world.tasks |= {
        "family": TaskDistribution(family="mec_city"),
        "turns": replace(TASK, env_id="lwmecps-v2"),
        "other": replace(TASK, env_id="lwmecps-v3"),
        "homeless": replace(TASK, kubernetes=None),
    }
    stub, ref = world.learner(), _ref(**changes)
    for call in (stub.GetMetricSpec, stub.IsActive):
        with pytest.raises(grpc.RpcError) as caught:
            call(ref, timeout=20)
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        assert said in caught.value.details()


def test_another_metric_is_refused(world: World) -> None:
    stub = world.learner()
    with pytest.raises(grpc.RpcError, match="metricName"):
        stub.GetMetrics(pb.GetMetricsRequest(scaledObjectRef=_ref(), metricName="s0-replicas"), timeout=20)


def test_a_learner_that_is_killed_says_nothing_rather_than_inactive_until_it_knows_again(world: World) -> None:
    stub = world.learner()
    _polled(stub, _ref())
    world.kill()
    assert isinstance(_poll(stub, _ref()), str)
    again = world.learner()
    answers = []
    wait_until(lambda: not isinstance(answers.append(_poll(again, _ref())) or answers[-1], str), 120.0)
    assert all("no size of task t yet" in answer for answer in answers[:-1])


def test_the_last_size_stands_in_for_a_cluster_that_is_away_and_then_nobody_answers(world: World) -> None:
    stub, ref = world.learner(), _ref(hold_s="1.5")
    value = _polled(stub, ref)
    world.served.close()
    assert _poll(stub, ref)[1] in (True, False) and value is not None
    wait_until(lambda: "no size of task t for" in str(_poll(stub, ref)), 30.0)
    assert str(_poll(stub, ref)).startswith("UNAVAILABLE")


def test_a_stream_tells_at_once_and_then_only_changes(world: World) -> None:
    stub = world.learner()
    _polled(stub, _ref())
    (follower,) = world.followers[-1]._all.values()
    sizer = follower._sizer
    sizer.tell, interval = lambda size: None, sizer._intervals  # only what this test says is told from now on
    wait_until(lambda: sizer._intervals > interval + 1, 20.0)

    def tell(replicas: int) -> None:
        follower._told(Size(np.full((2, 3), replicas, np.int32), ("policy",) * 2, sizer.clock()))

    tell(2)
    stream = stub.StreamIsActive(_ref(), timeout=60)
    heard = [next(stream).result]
    reader = threading.Thread(target=lambda: heard.extend(answer.result for answer in itertools.islice(stream, 2)))
    reader.start()
    for replicas, said in ((3, 1), (0, 2), (0, 2), (1, 3)):
        tell(replicas)
        wait_until(lambda said=said: len(heard) == said, 20.0)
    reader.join(20.0)
    stream.cancel()
    assert heard == [True, False, True]


def test_a_cluster_that_nobody_asks_about_is_followed_no_longer(world: World) -> None:
    world.tasks["u"] = replace(TASK, name="u")
    stub = world.learner(idle_s=0.0)
    _polled(stub, _ref())
    stub.GetMetricSpec(_ref(task="u"), timeout=20)
    assert [sizing.task for sizing in world.followers[-1]._all] == ["u"]
    wait_until(lambda: len(world.served.sessions) == 1, 20.0)


def test_there_is_an_end_to_how_many_clusters_are_followed(world: World) -> None:
    world.tasks["u"] = replace(TASK, name="u")
    stub = world.learner(most=1)
    stub.GetMetricSpec(_ref(), timeout=20)
    with pytest.raises(grpc.RpcError, match="followed already"):
        stub.GetMetricSpec(_ref(task="u"), timeout=20)


class _Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Stage:
    """A sizer with a clock of its own, played to by hand."""

    sure_share: float = 0.0
    policies: dict[str, PolicyData] = field(default_factory=lambda: {"p": _policy(TASK)})
    ruled: bool = True

    def __post_init__(self) -> None:
        self.sizes: list[Size] = []
        self.clock, self.rule = _Clock(), baselines.make("uniform", [TASK], [0])
        sizing = Sizing(policy="p", task="t", hold_s=60, sure_share=self.sure_share)
        drawn = DrawnPolicy(LoadedPolicies(self._load), "p", env_spec(TASK))
        self.sizer = Sizer(
            TASK, sizing, drawn, lambda: self.rule if self.ruled else None, self.sizes.append, self.clock
        )
        self.env = BatchEnv([TASK], np.zeros(1, np.int64))
        obs, mask = self.env.reset(np.zeros(1, np.uint64))
        terms, first = np.zeros((1, len(REWARD_TERMS)), np.float32), np.ones(1, np.bool_)
        self.seen = Seen(obs.copy(), mask.copy(), terms, np.zeros((1, 6), np.int32), first)

    def _load(self, name: str) -> PolicyData:
        return self.policies[name]

    def act(self, after_s: float = 10.0) -> Size | None:
        self.clock.now_s += after_s
        before = len(self.sizes)
        self.sizer.act({}, self.seen, None)
        return self.sizes[-1] if len(self.sizes) > before else None

    def lose(self) -> None:
        def gone(*_: Any, **__: Any) -> Any:
            raise NotFound("policy", "p")

        object.__setattr__(self.sizer.policy.policies, "act", gone)


def test_a_policy_that_is_away_is_held_for_a_while_and_then_the_rule_decides() -> None:
    stage = Stage()
    good = stage.act()
    assert good is not None and good.by == ("policy", "policy")
    stage.lose()
    held = stage.act(59.0)
    assert held is not None and held.by == ("held", "held") and (held.placement == good.placement).all()
    ruled = stage.act(2.0)
    assert ruled is not None and ruled.by == ("rule", "rule")
    rule = stage.rule.act(stage.rule.begin(np.zeros(1, np.uint64)), stage.seen, None).action
    assert (ruled.placement == placement_of(TASK, rule, held.placement)).all()


def test_without_a_rule_what_was_good_last_stays() -> None:
    stage = Stage(ruled=False)
    good = stage.act()
    stage.lose()
    late = stage.act(1000.0)
    assert good is not None and late is not None and late.by == ("held", "held")
    assert (late.placement == good.placement).all()


def test_a_policy_that_was_never_sure_leaves_it_to_the_rule_or_says_nothing() -> None:
    ruled, alone = Stage(sure_share=1.0).act(), Stage(sure_share=1.0, ruled=False).act()
    assert ruled is not None and set(ruled.by) == {"rule"}, "random weights draw all over the place"
    assert alone is None


def test_no_deployment_gets_fewer_than_the_task_keeps_for_safety() -> None:
    stage = Stage()
    assert TASK.kubernetes is not None
    stage.sizer.task = replace(TASK, kubernetes=replace(TASK.kubernetes, min_replicas=3))
    size = stage.act()
    assert size is not None and (size.placement.sum(axis=1) >= 3).all()


@pytest.mark.parametrize(
    ("env_id", "action", "wanted"),
    [
        ("lwmecps-v1", [[2]], [[3, 0, 0], [0, 0, 0]]),
        ("lwmecps-v1", [[0]], [[1, 0, 0], [0, 0, 0]]),
        ("lwmecps-v3", [[4, 0]], [[4, 0, 0], [0, 0, 0]]),
        ("lwmecps-v4", [[1, 2, 0, 0, 3, 4]], [[1, 2, 0], [0, 3, 1]]),
        ("lwmecps-v4-continuous", [[0.26, 0.5, 0.1, 0, 0, 1.0]], [[1, 2, 0], [0, 0, 4]]),
    ],
)
def test_an_action_of_every_environment_that_scales_is_a_placement(
    env_id: str, action: list[list[float]], wanted: list[list[int]]
) -> None:
    task = replace(TASK, env_id=env_id)  # type: ignore[arg-type]
    before = np.array([[2, 0, 0], [0, 0, 0]], np.int32)
    kind = np.float32 if env_id.endswith("continuous") else np.int32
    at_home = tuple(replace(d, allowed_nodes=("n0", "n1", "n2")) for d in task.deployments)
    assert placement_of(replace(task, deployments=at_home), np.array(action, kind), before).tolist() == wanted
