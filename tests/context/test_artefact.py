"""What is known about a cluster as a file, and in words beside its task."""

from dataclasses import replace

import numpy as np
import pytest

from lwmecps_core import tensor_file
from lwmecps_core.context.artefact import Knowledge, check_fits, from_bytes, subject_of, to_bytes
from lwmecps_core.context.base import PREFIX
from lwmecps_core.context.described import WHOLE, Belief, described
from lwmecps_core.context.statistics import Statistics
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.remembered import WithContext
from lwmecps_core.sim.state import busy_ms
from lwmecps_core.specs import ALL_ENV_IDS, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

CITY = TaskDistribution(nodes=3, deployments=2, max_replicas=8, horizon=40)


def _known(task: TaskSpec, intervals: int = 40) -> Knowledge:
    env = BatchEnv([task], [0])
    statistics = Statistics(env.spec)
    watched = WithContext(env, statistics, statistics.begin(1))
    watched.reset(np.array([3], np.uint64))
    for _ in range(intervals):
        watched.step(np.full((1, env.spec.action_size), 8, np.int32))
    memory = {PREFIX + name: x for name, x in watched.memory.items()}
    return Knowledge(subject_of(task, env.spec, "statistics", "policy-1"), memory)


def _quiet(task: TaskSpec) -> TaskSpec:
    users = tuple(0.1 * users for users in task.workload.base_users)
    return replace(task, workload=replace(task.workload, base_users=users))


def _by_name(beliefs: list[Belief]) -> dict[tuple[str, str], Belief]:
    return {(belief.about, belief.what): belief for belief in beliefs}


@pytest.mark.parametrize("env_id", ALL_ENV_IDS)
@pytest.mark.parametrize("intervals", [0, 5])
def test_what_is_known_comes_back_from_its_file(env_id: str, intervals: int) -> None:
    known = _known(draw(replace(CITY, env_id=env_id), 1), intervals)
    again = from_bytes(to_bytes(known), "file")
    assert again.subject == known.subject and again.memory.keys() == known.memory.keys()
    for name, x in known.memory.items():
        np.testing.assert_array_equal(again.memory[name], x)
    assert described(again) == described(known)


def test_what_is_believed_is_near_what_the_task_says() -> None:
    task = _quiet(draw(CITY, 1))
    found = _by_name(described(_known(task), task))
    for what in ("a replica costs", "100 ms of latency costs"):
        belief = found[WHOLE, what]
        assert belief.value == pytest.approx(belief.written, rel=1e-3)
    for d in task.deployments:
        service, load = found[d.name, "service time"], found[d.name, "load"]
        assert service.written == busy_ms(d) and service.value == pytest.approx(busy_ms(d), rel=0.15)
        assert load.least is not None and load.value is not None and load.most is not None
        assert load.least <= load.value <= load.most
    assert found[WHOLE, "seen"].believed == "40 intervals"


def test_a_daily_load_is_forecast_in_requests_per_second() -> None:
    task = draw(CITY, 1)
    spec, subject = env_spec(task), subject_of(task, env_spec(task), "statistics")
    memory, angle = Statistics(spec).begin(1), 2.0 * np.pi * np.arange(40) / 40
    log_rate = 2.0 + 0.8 * np.sin(angle + 1.0)
    sine, cosine = np.sin(angle), np.cos(angle)
    memory["intervals"][:] = memory["serving"][:] = 1000.0
    memory["clock"][:] = sine[-1], cosine[-1]
    memory["turn"][:] = np.cos(angle[1]), np.sin(angle[1])
    memory["times"][:] = [np.mean(x) for x in (sine, cosine, sine**2, sine * cosine, cosine**2)]
    memory["load"][:] = [np.mean(x) for x in (log_rate, log_rate**2, log_rate * sine, log_rate * cosine)]
    found = _by_name(described(Knowledge(subject, {PREFIX + name: x for name, x in memory.items()})))
    for ahead in (1, 3, 8):
        expected = np.expm1(log_rate[ahead - 1])
        assert found[task.deployments[0].name, f"load in {ahead * 10} s"].value == pytest.approx(expected, rel=0.01)


def test_words_have_units_and_ranges() -> None:
    assert Belief("web", "load", "requests/s", 12.345, 4.0, 2000.0).believed == "12.3 requests/s (4 to 2,000)"
    assert Belief("web", "failed requests", "%", 0.0, most=1.5).believed == "0 % (at most 1.5)"
    assert Belief("web", "latency", "ms", None).believed == "not known yet"
    assert Belief("web", "latency", "ms", 1.0, written=50.0).stands == "50 ms"


def test_nothing_is_believed_where_nothing_was_seen() -> None:
    task = draw(CITY, 1)
    assert described(_known(task, 0), task) == [Belief(WHOLE, "seen", "intervals", 0.0)]


def test_nothing_is_believed_of_a_deployment_that_had_no_replicas_so_far() -> None:
    task = draw(CITY, 1)
    known = _known(task, 5)
    idle = dict(known.memory)
    for name in ("serving", "load", "load_range", "work", "latency", "failed", "utilisation"):
        idle[PREFIX + name] = known.memory[PREFIX + name].copy()
        idle[PREFIX + name][:, 0] = Statistics(known.subject.env_spec).begin(1)[name][:, 0]
    name, other = (d.name for d in task.deployments[:2])
    found = _by_name(described(replace(known, memory=idle), task))
    assert {found[name, what].value for about, what in found if about == name} == {None}
    assert None not in {found[other, what].value for what in ("load", "failed requests", "latency", "service time")}


def test_another_cluster_or_context_is_refused_with_both_lists() -> None:
    known = _known(draw(CITY, 1), 1)
    task = draw(replace(CITY, nodes=2, deployments=3, env_id="lwmecps-v4"), 1)
    with pytest.raises(InvalidInput) as caught:
        check_fits(known, subject_of(task, env_spec(task), "other"), "file")
    said = {v.field: v.reason for v in caught.value.violations}
    assert said["context"] == "statistics in the memory, other in the policy and task"
    assert "[app-1, app-2] in the memory, [app-1, app-2, app-3]" in said["deployments"]
    assert said.keys() == {"context", "deployments", "max_replicas", "nodes", "env_id"}
    check_fits(known, replace(known.subject, policy_id="policy-2", task="renamed"), "file")


def test_what_else_a_policy_remembers_is_for_that_policy_only() -> None:
    known = _known(draw(CITY, 1), 1)
    own = Knowledge(known.subject, {**known.memory, "state": np.zeros((1, 4), np.float32)})
    own = from_bytes(to_bytes(own), "file")
    check_fits(own, known.subject, "file")
    with pytest.raises(InvalidInput, match="policy_id: policy-1 in the memory, policy-2"):
        check_fits(own, replace(known.subject, policy_id="policy-2"), "file")


def test_a_memory_that_is_learnt_is_kept_and_counted() -> None:
    known = _known(draw(replace(CITY, env_id="lwmecps-v4"), 1), 1)
    learnt = Knowledge(replace(known.subject, context="recurrent"), {"state": np.ones((1, 4), np.float32)})
    again = from_bytes(to_bytes(learnt), "file")
    np.testing.assert_array_equal(again.memory["state"], np.ones((1, 4)))
    (belief,) = described(again)
    assert belief.believed == "4 numbers that only the policy can read"


def test_damaged_files_are_refused_by_name() -> None:
    known = _known(draw(replace(CITY, env_id="lwmecps-v4"), 1), 5)
    content = to_bytes(known)
    for damaged in (b"", b"x" * 100, content[:-1], content.replace(b"memory-1", b"memory-9")):
        with pytest.raises(InvalidInput, match="file: memory: not a memory file"):
            from_bytes(damaged, "file")
    load = PREFIX + "load"
    for field, changed in (
        (r"memory\[load\]: is missing", {k: x for k, x in known.memory.items() if k != load}),
        (r"memory\[load\]: holds NaN", {**known.memory, load: np.full_like(known.memory[load], np.nan)}),
        (r"memory\[load\]: must be float64 \[1, 2, 4\]", {**known.memory, load: known.memory[load][:, :1]}),
        (r"memory\[more\]: must be nothing", {**known.memory, PREFIX + "more": np.zeros((1, 1))}),
    ):
        with pytest.raises(InvalidInput, match=field):
            from_bytes(to_bytes(replace(known, memory=changed)), "file")
    for name, value, reason in (
        ("intervals", -1.0, "holds -1; at least 0"),
        ("serving", -2.0, "holds -2; at least 0"),
        ("work", 1e300, r"holds 1e\+300; at most 1e\+09 in size"),
        ("latency", -np.inf, "holds -inf; at most"),
    ):
        changed = {**known.memory, PREFIX + name: np.full_like(known.memory[PREFIX + name], value)}
        with pytest.raises(InvalidInput, match=rf"file: memory\[{name}\]: {reason}"):
            from_bytes(to_bytes(replace(known, memory=changed)), "file")
    tensors, header = tensor_file.read(content)
    for text, reason in (
        ("{", "subject: not JSON: "),
        ("[]", "subject: "),
        ("{}", "subject.nodes: "),
        (header["subject"].replace("lwmecps-v4", "lwmecps-v9"), r"subject.env_spec.env_id: 'lwmecps-v9' is none of "),
        (
            header["subject"].replace('"interval_s": 10.0', '"interval_s": -1.0'),
            r"subject.interval_s: .*greater than 0",
        ),
    ):
        with pytest.raises(InvalidInput, match=f"file: {reason}"):
            from_bytes(tensor_file.write(tensors, header | {"subject": text}), "file")
    for name in header:
        with pytest.raises(InvalidInput, match=f"file: memory: not a memory file: has no '{name}'"):
            from_bytes(tensor_file.write(tensors, {k: v for k, v in header.items() if k != name}), "file")
    blind = replace(known.subject.env_spec, blocks=())
    for wrong in ({"context": "none"}, {"nodes": ("a",)}, {"max_replicas": (8,)}, {"env_spec": blind}):
        with pytest.raises(InvalidInput, match="file"):
            from_bytes(to_bytes(replace(known, subject=replace(known.subject, **wrong))), "file")


def test_numbers_out_of_all_bounds_are_not_known() -> None:
    known = _known(draw(CITY, 1), 5)
    wild = {name: np.where(name.endswith("intervals"), x, 1e9) for name, x in known.memory.items()}
    for belief in described(from_bytes(to_bytes(replace(known, memory=wild)), "file")):
        assert belief.believed
