"""The contracts say the same as the library's classes: names, choices, ranges."""

from contextlib import nullcontext
from dataclasses import fields
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from lwmecps_core import algorithms, meta, run_config, specs
from lwmecps_core.config import parse
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import ALGORITHMS, fill
from lwmecps_core.training import progress
from protos.lwmecps.cluster.v1 import cluster_pb2
from protos.lwmecps.common.v1 import settings_pb2
from protos.lwmecps.registry.v1 import run_pb2
from protos.lwmecps.task.v1 import task_pb2
from services.cli.run_commands import ADAPTATION
from services.common.calls import check

PAIRS = [
    (specs.NodeSpec, cluster_pb2.NodeSpec),
    (specs.ClusterSpec, cluster_pb2.ClusterSpec),
    (specs.CallSpec, cluster_pb2.CallSpec),
    (specs.DeploymentSpec, cluster_pb2.DeploymentSpec),
    (specs.MobilitySpec, task_pb2.MobilitySpec),
    (specs.WorkloadSpec, task_pb2.WorkloadSpec),
    (specs.ObjectiveSpec, task_pb2.ObjectiveSpec),
    (specs.SloSpec, task_pb2.SloSpec),
    (specs.PricesSpec, task_pb2.PricesSpec),
    (specs.TaskSpec, task_pb2.TaskSpec),
    (specs.KubernetesSpec, task_pb2.KubernetesSpec),
    (specs.PrometheusSpec, task_pb2.PrometheusSpec),
    (specs.ApplicationSpec, task_pb2.ApplicationSpec),
    (specs.TaskDistribution, task_pb2.TaskDistribution),
    (specs.EnvSpec, task_pb2.EnvSpec),
    *((cls, getattr(settings_pb2, cls.__name__)) for cls in (*ALGORITHMS.values(), *run_config.META_LEARNERS.values())),
    (run_config.MetaConfig, settings_pb2.MetaConfig),
    (run_config.TrainConfig, settings_pb2.TrainConfig),
    (run_config.TransferConfig, settings_pb2.TransferConfig),
    (run_config.AdaptConfig, settings_pb2.AdaptConfig),
    (run_config.EvaluateConfig, settings_pb2.EvaluateConfig),
    (ContinualConfig, settings_pb2.ContinualConfig),
    (progress.Row, run_pb2.Row),
]
IN_THE_ONEOF = {(cls, "name") for cls in (*ALGORITHMS.values(), *run_config.META_LEARNERS.values())}
"""The choice of the `oneof` says these."""


def _names(message: Any) -> set[str]:
    """Its fields, with a union under the name of its `oneof`, and without what is only there for former clients."""
    known = [field for field in message.DESCRIPTOR.fields if not field.GetOptions().deprecated]
    unions = {f.name: f.containing_oneof.name for f in known if f.containing_oneof is not None}
    return {f.name if unions.get(f.name, f"_{f.name}") == f"_{f.name}" else unions[f.name] for f in known}


def _choices(schema: dict[str, Any]) -> set[str]:
    options = [schema, *schema.get("anyOf", []), schema.get("items", {})]
    found = [c for o in options for c in o.get("enum", [o["const"]] if "const" in o else [])]
    return {str(choice) for choice in found}


def _accepted(message: Any, field: str, value: Any) -> bool:
    request = message()
    if message.DESCRIPTOR.fields_by_name[field].is_repeated:
        getattr(request, field).append(value)
    else:
        setattr(request, field, value)
    try:
        check(request)
    except InvalidInput as error:
        return field not in [violation.field.partition("[")[0] for violation in error.violations]
    return True


@pytest.mark.parametrize(("cls", "message"), PAIRS, ids=lambda x: x.__name__)
def test_a_message_has_the_fields_of_its_class(cls: Any, message: Any) -> None:
    ours = {f.name for f in fields(cls)} - {name for owner, name in IN_THE_ONEOF if owner is cls}
    assert ours == _names(message)


def test_every_meta_learner_has_settings_in_the_contract_and_code() -> None:
    contract = {f.name for f in settings_pb2.MetaConfig.DESCRIPTOR.oneofs_by_name["learner"].fields}
    assert set(run_config.META_LEARNERS) == set(meta.REGISTRY) == contract


def test_every_algorithm_has_settings_in_the_contract_and_code() -> None:
    assert set(ALGORITHMS) == set(algorithms.REGISTRY) == set(settings_pb2.AlgorithmConfig.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(("cls", "message"), PAIRS, ids=lambda x: x.__name__)
def test_an_enum_has_the_choices_of_its_literal(cls: Any, message: Any) -> None:
    properties = TypeAdapter(cls).json_schema()["properties"]
    for name, descriptor in message.DESCRIPTOR.fields_by_name.items():
        if descriptor.enum_type is None or cls is specs.EnvSpec or descriptor.GetOptions().deprecated:
            continue
        prefix = descriptor.enum_type.values[0].name.removesuffix("UNSPECIFIED")
        values = [v for v in descriptor.enum_type.values if v.number and _accepted(message, name, v.number)]
        known = _choices(properties[name]) or set(ADAPTATION.choices[name])
        assert {v.name.removeprefix(prefix).lower() for v in values} == known, name


def test_the_environment_ids_of_the_contract_are_those_of_the_library() -> None:
    for env_id in (*specs.ALL_ENV_IDS, "lwmecps-v5", "lwmecps-v3-", "x"):
        known = env_id in get_args(specs.EnvId)
        assert _accepted(task_pb2.TaskDistribution, "env_id", env_id) is known, env_id


def _ranges(cls: Any, message: Any) -> list[tuple[str, float, bool]]:
    """Every (field, value just outside or just inside a bound, whether it is inside); a large one if unbounded."""
    found = []
    for name, schema in TypeAdapter(cls).json_schema()["properties"].items():
        field = message.DESCRIPTOR.fields_by_name.get(name)
        lists = [schema["items"]] if field is not None and field.is_repeated and field.message_type is None else []
        for option in [schema, *schema.get("anyOf", []), *lists]:
            step = 1 if option.get("type") == "integer" else 1e-6
            if "minimum" in option:
                found += [(name, option["minimum"], True), (name, option["minimum"] - step, False)]
            if "exclusiveMinimum" in option:
                found += [(name, option["exclusiveMinimum"] + step, True), (name, option["exclusiveMinimum"], False)]
            if "maximum" in option:
                found += [(name, option["maximum"], True), (name, option["maximum"] + step, False)]
            elif option.get("type") in ("integer", "number"):
                found.append((name, 2**31 - 1, True))
    return found


CASES = [(cls, message, *case) for cls, message in PAIRS for case in _ranges(cls, message)]


@pytest.mark.parametrize(
    ("cls", "message", "field", "value", "inside"), CASES, ids=lambda x: getattr(x, "__name__", str(x))
)
def test_the_contract_has_the_range_of_the_library(
    cls: Any, message: Any, field: str, value: float, inside: bool
) -> None:
    if value < 0 and message.DESCRIPTOR.fields_by_name[field].type == 13:
        pytest.skip("an unsigned field can't be negative")
    assert _accepted(message, field, value) is inside


@pytest.mark.parametrize(
    "cls", [cls for cls, _ in PAIRS if cls.__module__ == run_config.__name__ or cls is specs.ObjectiveSpec]
)
def test_the_library_defaults_satisfy_the_contract(cls: Any) -> None:
    check(fill(cls(), dict(PAIRS)[cls]()))


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("http://prometheus:9090", True),
        ("https://p.example/prefix/a@b", True),
        ("http://p?x=a@b", True),
        ("http://somebody:hunter2@prometheus", False),
        ("http://token@p/", False),
        ("ftp://p", False),
        ("http://", False),
    ],
)
def test_addresses_in_tasks_hold_no_passwords(url: str, fits: bool) -> None:
    assert _accepted(task_pb2.PrometheusSpec, "base_url", url) is fits
    assert _accepted(task_pb2.ApplicationSpec, "base_url", url) is fits
    for cls, others in ((specs.PrometheusSpec, {}), (specs.ApplicationSpec, {"group_id": "g"})):
        with nullcontext() if fits else pytest.raises(InvalidInput, match="base_url"):
            parse(cls, {"base_url": url} | others, "here")
