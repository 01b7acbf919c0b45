from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwmecps_core.errors import InvalidInput
from lwmecps_core.kinds import KINDS
from lwmecps_core.results import Row
from lwmecps_core.run_config import (
    AdaptConfig,
    DQNConfig,
    EvaluateConfig,
    IMAMLConfig,
    MAMLConfig,
    MetaConfig,
    PPOConfig,
    ReptileConfig,
    TrainConfig,
)
from lwmecps_core.run_config import TransferConfig as Transfer
from lwmecps_core.specs import ALL_ENV_IDS, FAMILY_PARAMETERS, EnvSpec, TaskDistribution
from protos.lwmecps.common.v1 import settings_pb2, tensor_pb2
from protos.lwmecps.registry.v1 import run_pb2
from services.common import convert, run_kinds

positive = st.floats(1e-6, 1e9)
share = st.floats(0, 1)
count = st.integers(1, 1_000_000)
inner_steps = st.integers(1, 50)
reals = st.floats(allow_nan=False)
layers = st.lists(st.integers(1, 512), min_size=1, max_size=4).map(tuple)

SETTINGS = st.one_of(
    st.builds(TrainConfig, total_episodes=count, independent=st.booleans(), evaluation_episodes=st.integers(0, 9)),
    st.builds(
        MetaConfig,
        learner=st.one_of(
            st.builds(MAMLConfig, learn_inner_lr=st.booleans(), multi_step_loss=share),
            st.builds(IMAMLConfig, proximal=positive),
            st.just(ReptileConfig()),
        ),
        inner_lr=st.floats(0, 1),
        outer_lr=positive,
        adaptation_steps=inner_steps,
    ),
    st.builds(Transfer, learning_rate=positive, total_episodes=count),
    st.builds(
        AdaptConfig,
        adaptation_steps=inner_steps,
        inner_lr=st.none() | st.floats(0, 1),
        random_weights=st.booleans(),
        optimiser=st.none() | st.binary(min_size=1, max_size=32),
    ),
    st.builds(EvaluateConfig, episodes=count, baseline=st.sampled_from(["", "random", "hpa_calibrated"])),
)
ALGORITHMS = st.one_of(
    st.builds(
        PPOConfig,
        learning_rate=positive,
        clip_epsilon=positive,
        hidden_size=layers,
        network=st.sampled_from(["mlp", "set"]),
    ),
    st.builds(DQNConfig, memory_size=count, epsilon=share, hidden_size=layers),
)


@given(SETTINGS)
def test_settings_of_a_run_survive_the_journey_and_decide_its_kind(settings) -> None:
    spec = run_pb2.RunSpec()
    convert.set_run_settings(spec, settings)
    arrived = run_pb2.RunSpec.FromString(spec.SerializeToString())
    kind, again = convert.run_settings(arrived)
    assert again == settings
    assert KINDS[kind].settings is type(settings)
    assert arrived.kind == run_kinds.kind_to_message(kind)


@given(ALGORITHMS)
def test_algorithm_settings_survive_the_journey(algorithm) -> None:
    message = convert.algorithm_to_message(algorithm)
    assert convert.algorithm_from_message(settings_pb2.AlgorithmConfig.FromString(message.SerializeToString())) == (
        algorithm
    )


@given(
    st.builds(
        Row,
        task=st.text(min_size=1),
        method=st.text(min_size=1),
        inner_steps=st.integers(0, 50),
        reward=reals,
        latency_mean_ms=reals,
        latency_p95_ms=reals,
        replicas_mean=reals,
        sla_miss_share=share,
        moves_mean=reals,
        load_correlation=st.floats(-1, 1),
        env_steps=st.integers(0, 2**40),
        wall_s=positive,
    )
)
def test_result_rows_survive_the_journey(row) -> None:
    assert convert.row_from_message(convert.row_to_message(row)) == row


@given(
    st.builds(
        EnvSpec,
        env_id=st.sampled_from(ALL_ENV_IDS),
        nvec=st.lists(st.integers(1, 99)).map(tuple),
        blocks=st.lists(st.tuples(st.text(), st.lists(st.integers(0, 99)).map(tuple))).map(tuple),
        action_size=count,
        horizon=count,
        action_entity=st.sampled_from(["global", "deployment", "pair"]),
    )
)
def test_environment_specs_survive_the_journey(spec) -> None:
    assert convert.env_spec_from_message(convert.env_spec_to_message(spec)) == spec


@given(st.dictionaries(st.text(), st.lists(reals, max_size=9).map(tuple)))
def test_traces_survive_the_journey(series) -> None:
    message = convert.trace_to_message(7, series)
    assert message.step == 7
    assert convert.trace_from_message(message) == series


@pytest.mark.parametrize("family", FAMILY_PARAMETERS)
def test_parameters_of_a_family_survive_the_journey(family) -> None:
    values = {
        "max_pods": 3,
        "cpu_requirement": 250.0,
        "memory_requirement": 128.0,
        "traffic_pattern": "burst",
        "latency_threshold": 80.0,
        "optimization_target": "memory",
        "constraint_weight": 0.5,
    }
    chosen = {name: values[name] for name in FAMILY_PARAMETERS[family]}
    distribution = TaskDistribution(family=family, nodes=2, recorded_users=((1.0, 2.0),), recorded_step_s=5.0, **chosen)
    assert convert.distribution_from_message(convert.distribution_to_message(distribution)) == distribution


def test_what_a_message_leaves_out_has_the_default_of_the_library() -> None:
    spec = run_pb2.RunSpec()
    spec.meta_train.SetInParent()
    what = convert.run_spec_from_message(spec)
    assert (what.kind, what.settings, what.learns_by) == ("meta_train", MetaConfig(), PPOConfig())


def test_a_kind_that_contradicts_the_settings_is_refused() -> None:
    spec = run_pb2.RunSpec(kind=run_pb2.RUN_KIND_ADAPT)
    spec.train.SetInParent()
    with pytest.raises(InvalidInput, match="contradicts the settings, which are for train"):
        convert.run_settings(spec)


def test_a_tensor_that_does_not_add_up_is_refused_with_its_path() -> None:
    message = convert.trace_to_message(1, {"users": (1.0,)})
    message.series["users"].CopyFrom(tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_FLOAT64, shape=[3], data=b"\0" * 8))
    with pytest.raises(InvalidInput, match=r"trace: series\[users\]: data: 8 bytes"):
        convert.trace_from_message(message)


def test_instants_keep_their_moment_and_arrive_in_utc() -> None:
    there = datetime(2024, 5, 1, 12, 30, 0, 250, timezone(timedelta(hours=3)))
    message = convert.time_to_message(there)
    assert message is not None
    assert convert.time_from_message(message) == there
    assert convert.time_from_message(message).tzinfo is UTC
    assert convert.time_to_message(None) is None


def test_nan_in_a_row_stays_nan() -> None:
    row = Row("t", "m", 0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, load_correlation=float("nan"))
    assert np.isnan(convert.row_from_message(convert.row_to_message(row)).load_correlation)
