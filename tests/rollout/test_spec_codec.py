import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import (
    algorithm_from_proto,
    algorithm_to_proto,
    fill,
    read,
    task_from_proto,
    task_to_proto,
)
from lwmecps_core.run_config import (
    AdaptConfig,
    DQNConfig,
    EvaluateConfig,
    FOMAMLConfig,
    IMAMLConfig,
    MAMLConfig,
    MetaConfig,
    PPOConfig,
    ReptileConfig,
    TrainConfig,
)
from lwmecps_core.specs import (
    ALL_ENV_IDS,
    ClusterSpec,
    DeploymentSpec,
    NodeSpec,
    ObjectiveSpec,
    TaskDistribution,
    TaskSpec,
    WorkloadSpec,
)
from protos.lwmecps.common.v1 import settings_pb2
from protos.lwmecps.task.v1 import task_pb2

floats = st.floats(0.001, 1e6)


@st.composite
def tasks(draw):
    n, d = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    nodes = tuple(
        NodeSpec(name=f"n{i}", cpu_millicores=draw(floats), ram_mib=draw(floats), tx_mbps=draw(floats))
        for i in range(n)
    )
    rtt = draw(floats)
    deployments = tuple(
        DeploymentSpec(
            name=f"d{i}",
            cpu_time_ms=draw(floats),
            allowed_nodes=("n0",) * draw(st.integers(0, 1)),
            initial_replicas=draw(st.integers(0, 8)),
        )
        for i in range(d)
    )
    recorded = draw(st.booleans())
    users = st.lists(floats, min_size=n, max_size=n).map(tuple)
    workload = WorkloadSpec(
        pattern="recorded" if recorded else draw(st.sampled_from(["uniform", "diurnal", "burst", "gradual"])),
        base_users=() if recorded else draw(users),
        recorded_users=tuple(draw(st.lists(users, min_size=1, max_size=5))) if recorded else (),
        share=((1 / d,) * d,) * n,
        failover=draw(st.sampled_from([(), ((0,),) * n, ((),) * n])),
        arrivals=draw(st.sampled_from(["poisson", "burst"])),
        random_start=draw(st.booleans()),
        amplitude=draw(st.floats(0, 1)),
    )
    return TaskSpec(
        name=draw(st.text(min_size=1, max_size=20)),
        env_id=draw(st.sampled_from(ALL_ENV_IDS)),
        cluster=ClusterSpec(
            nodes=nodes, rtt_ms=tuple(tuple(0.0 if i == j else rtt for j in range(n)) for i in range(n))
        ),
        deployments=deployments,
        workload=workload,
        objective=ObjectiveSpec(latency=draw(st.sampled_from([0.0, 2.5])), sla=0.0),
        horizon=draw(st.integers(1, 1000)),
        routing=draw(st.sampled_from(["cluster", "least_connections", "local_first"])),
        latency_model=draw(st.sampled_from(["queue", "testapp"])),
        family=draw(st.sampled_from(["", "mec_city"])),
    )


@given(tasks())
def test_task_survives_the_wire(task):
    data = task_to_proto(task).SerializeToString()
    assert task_from_proto(task_pb2.TaskSpec.FromString(data)) == task


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (MetaConfig(learner=FOMAMLConfig(learn_inner_lr=False), inner_lr=0.0), settings_pb2.MetaConfig()),
        (MetaConfig(learner=IMAMLConfig(proximal=2.0)), settings_pb2.MetaConfig()),
        (MetaConfig(learner=ReptileConfig()), settings_pb2.MetaConfig()),
        (TrainConfig(total_episodes=7, independent=True), settings_pb2.TrainConfig()),
        (AdaptConfig(inner_lr=None), settings_pb2.AdaptConfig()),
        (AdaptConfig(inner_lr=0.0, random_weights=True), settings_pb2.AdaptConfig()),
        (EvaluateConfig(baseline="random"), settings_pb2.EvaluateConfig()),
        (TaskDistribution(nodes=2, recorded_users=((1.0, 2.0),)), task_pb2.TaskDistribution()),
    ],
)
def test_settings_survive_the_wire(value, message):
    assert read(type(value), fill(value, message), "settings") == value


@pytest.mark.parametrize("config", [PPOConfig(), PPOConfig(hidden_size=(8,), network="mlp"), DQNConfig(epsilon=0.0)])
def test_algorithm_settings_survive_the_wire(config):
    assert algorithm_from_proto(algorithm_to_proto(config)) == config


FORMER = {"learn_inner_lr": True, "rate_lr": 0.5, "multi_step_loss": 0.25, "proximal": 2.0, "solver_steps": 3}


@pytest.mark.parametrize(
    ("number", "learner"),
    [
        (settings_pb2.META_METHOD_UNSPECIFIED, MAMLConfig(rate_lr=0.5, multi_step_loss=0.25)),
        (settings_pb2.META_METHOD_FOMAML, FOMAMLConfig(rate_lr=0.5, multi_step_loss=0.25)),
        (settings_pb2.META_METHOD_IMPLICIT_FOMAML, IMAMLConfig(proximal=2.0, solver_steps=3, multi_step_loss=0.25)),
        (settings_pb2.META_METHOD_REPTILE, ReptileConfig()),
    ],
)
def test_what_clients_sent_before_each_meta_learner_had_settings_of_its_own_is_understood(number, learner):
    message = settings_pb2.MetaConfig(method=number, inner_lr=0.5, **FORMER)
    assert read(MetaConfig, message, "settings") == MetaConfig(learner=learner, inner_lr=0.5)


def test_a_setting_that_the_meta_learner_does_not_use_is_refused_by_name():
    message = settings_pb2.MetaConfig(method=settings_pb2.META_METHOD_REPTILE, proximal=2.0)
    with pytest.raises(InvalidInput) as caught:
        read(MetaConfig, message, "settings")
    assert [violation.field for violation in caught.value.violations] == ["learner.reptile.proximal"]


def test_unset_fields_take_the_defaults():
    assert read(MetaConfig, settings_pb2.MetaConfig(), "settings") == MetaConfig()
    assert algorithm_from_proto(settings_pb2.AlgorithmConfig(dqn=settings_pb2.DQNConfig())) == DQNConfig()


def test_bad_values_are_refused_with_their_path():
    task = task_pb2.TaskSpec(name="t")
    task.cluster.nodes.add(name="a", cpu_millicores=-1, ram_mib=1)
    with pytest.raises(InvalidInput) as caught:
        task_from_proto(task, "task")
    assert "cluster.nodes[0].cpu_millicores" in [violation.field for violation in caught.value.violations]


def test_algorithm_must_be_chosen():
    with pytest.raises(InvalidInput, match=r"one of .*ppo, dqn"):
        algorithm_from_proto(settings_pb2.AlgorithmConfig())
