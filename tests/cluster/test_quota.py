"""What quotas and LimitRanges leave to a namespace's pods, by the rules that Kubernetes documents."""

from typing import Any

import numpy as np
import pytest

from lwmecps_core.cluster.kubernetes_quota import Room, lacking_objects, quota_of, refused_by, room, usage, with_quota
from lwmecps_core.cluster.kubernetes_safety import with_few_moves


def _spec(requests: Any = None, limits: Any = None, **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "resources": {"requests": requests or {}, "limits": limits or {}}}], **more}


def _quota(hard: Any, used: Any = None, **spec: Any) -> Any:
    return quota_of({"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": {"used": used or {}}})


def _ranges(*items: Any) -> list[Any]:
    return [{"metadata": {"name": "l"}, "spec": {"limits": list(items)}}]


SMALL = _spec({"cpu": "500m", "memory": "256Mi"})


def test_a_pod_takes_of_a_quota_what_it_requests_and_may_use() -> None:
    taken = usage(_spec({"cpu": "250m"}, {"cpu": "2", "memory": "1Gi"}), [])
    assert (taken["cpu"], taken["requests.memory"], taken["limits.cpu"], taken["pods"]) == (0.25, 2.0**30, 2.0, 1.0)
    silent = usage(_spec(), _ranges({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}))
    assert (silent["requests.cpu"], silent["limits.cpu"]) == (pytest.approx(0.1), pytest.approx(1.0))


def test_what_the_task_has_itself_is_not_what_others_use() -> None:
    quotas = [_quota({"requests.cpu": "4", "pods": 10, "services": 2}, {"requests.cpu": "2500m", "pods": 5})]
    free = room(quotas, [SMALL, SMALL], [], own_pods=[2, 1])
    assert free.names == ("ResourceQuota q (requests.cpu)", "ResourceQuota q (pods)")
    assert free.left.tolist() == [3.0, 8.0]  # others: 1 core, 2 pods
    assert free.most(0) == (6, "ResourceQuota q (requests.cpu)")
    assert room([], [SMALL], [], [0]).most(0) is None


@pytest.mark.parametrize(
    ("scopes", "counts"),
    [
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopeSelector": {"matchExpressions": [_in := {"scopeName": "PriorityClass", "operator": "Exists"}]}}, True),
        ({"scopeSelector": {"matchExpressions": [{**_in, "operator": "In", "values": ["low"]}]}}, False),
    ],
)
def test_a_quota_counts_the_pods_of_its_scopes(scopes: Any, counts: bool) -> None:
    free = room([_quota({"pods": 3}, **scopes)], [SMALL | {"priorityClassName": "high"}], [], [0])
    assert bool(free.names) is counts


def _room(left: float, *each: float) -> Room:
    return Room(("q",), np.array(each, np.float64)[:, None], np.array([left]))


def test_placements_keep_what_is_there_and_grow_as_far_as_quotas_allow() -> None:
    current, wanted = np.array([[2, 0], [1, 0]], np.int32), np.array([[1, 3], [1, 4]], np.int32)
    assert with_quota(current, wanted, _room(10.0, 1.0, 2.0)).tolist() == [[1, 3], [1, 2]]
    assert with_quota(current, wanted, _room(1.0, 1.0, 2.0)).tolist() == [[1, 0], [1, 0]]  # over it already
    assert with_quota(current, wanted, room([], [SMALL, SMALL], [], [0, 0])).tolist() == wanted.tolist()


def test_where_both_have_no_room_removals_go_first() -> None:
    current, wanted = np.array([[2, 0]], np.int32), np.array([[0, 2]], np.int32)
    free = _room(2.0, 1.0)
    assert not free.fits(with_few_moves(current, wanted, 2))
    steps = []
    for _ in range(2):
        current = with_few_moves(current, wanted, 2, removals_first=True)
        assert free.fits(current)
        steps.append(current.tolist())
    assert steps == [[[0, 0]], [[0, 2]]]


def test_a_quota_of_deployments_counts_the_pools_to_come() -> None:
    quotas = [_quota({"count/deployments.apps": 5}, {"count/deployments.apps": "3"})]
    assert lacking_objects(quotas, 2) == []
    assert lacking_objects(quotas, 3) == ["ResourceQuota q (count/deployments.apps) leaves 2"]


@pytest.mark.parametrize(
    ("item", "spec", "why"),
    [
        (
            {"type": "Container", "max": {"cpu": "2"}},
            _spec({"cpu": "1"}, {"cpu": "3"}),
            "has 3000m of cpu, at most 2000m",
        ),
        ({"type": "Container", "max": {"cpu": "2"}}, _spec({"cpu": "1"}), "no limit of cpu"),
        ({"type": "Container", "min": {"memory": "1Gi"}}, SMALL, "requests 256 MiB of memory, at least 1024 MiB"),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            _spec({"cpu": "1"}, {"cpu": "3"}),
            "over 2 times",
        ),
        ({"type": "Pod", "max": {"cpu": "400m"}}, _spec({"cpu": "0.5"}, {"cpu": "0.5"}), "a pod has 500m of cpu"),
    ],
)
def test_pods_that_a_limit_range_refuses_are_named(item: Any, spec: Any, why: str) -> None:
    (found,) = refused_by(_ranges(item), spec)
    assert found.startswith("LimitRange l: ") and why in found


def test_defaults_of_a_limit_range_make_pods_that_it_lets_be() -> None:
    item = {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}, "max": {"cpu": "1"}}
    assert refused_by(_ranges({**item, "min": {"cpu": "100m"}}), _spec()) == []
    assert refused_by(_ranges({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}), SMALL) == []
