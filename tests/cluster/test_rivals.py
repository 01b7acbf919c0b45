"""Who else writes the replicas of a Deployment."""

from typing import Any

import pytest

from lwmecps_core.cluster.kubernetes_objects import Deployment, deployment_of
from lwmecps_core.cluster.kubernetes_rivals import GivingWay, autoscaled, written_by
from lwmecps_core.errors import AccessDenied, NotFound


def _deployment(*fields: tuple[str, str, str], owner: bool = False) -> Any:
    managed = [
        {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {f"f:{name}": {}}}}
        for manager, operation, name in fields
    ]
    meta: dict[str, Any] = {"name": "web", "managedFields": managed}
    if owner:
        meta["ownerReferences"] = [{"kind": "App", "name": "shop", "controller": True}]
    return {"metadata": meta}


@pytest.mark.parametrize(
    ("manager", "operation", "rival"),
    [
        ("kubectl-client-side-apply", "Update", False),
        ("kubectl", "Apply", False),  # by hand, once
        ("kubectl-edit", "Update", False),
        ("helm", "Update", False),
        ("lwmecps", "Apply", False),
        ("OpenAPI-Generator", "Update", False),
        ("argocd-controller", "Apply", True),
        ("argocd-application-controller", "Update", True),
        ("kustomize-controller", "Apply", True),
        ("helm-controller", "Update", True),
        ("some-operator", "Apply", True),
    ],
)
def test_a_manager_of_the_replicas_is_a_rival_if_it_comes_back_on_its_own(
    manager: str, operation: str, rival: bool
) -> None:
    assert written_by(_deployment((manager, operation, "replicas"))) == [f"field manager {manager}"] * rival
    assert written_by(_deployment((manager, operation, "template"))) == []


def test_an_operator_that_owns_a_deployment_is_a_rival() -> None:
    assert written_by(_deployment(owner=True)) == ["its owner, App shop"]
    assert written_by({"metadata": {"name": "web"}}) == []


def _scaler(called: str, **target: str) -> Any:
    return {"metadata": {"name": called}, "spec": {"scaleTargetRef": target}}


def test_autoscalers_are_found_by_their_targets() -> None:
    listed = {
        "horizontalpodautoscalers": [
            _scaler("a", kind="Deployment", name="web"),
            _scaler("b", kind="StatefulSet", name="db"),
        ],
        "scaledobjects": [_scaler("k", name="web"), _scaler("r", kind="Rollout", name="api")],
    }
    found, said = autoscaled(lambda path: listed[path.rpartition("/")[2]], "city")
    assert (found, said) == ({"web": ["HorizontalPodAutoscaler a", "ScaledObject k"]}, [])


def test_what_may_not_be_looked_for_is_said_and_what_is_not_installed_is_not() -> None:
    def listed(path: str) -> Any:
        raise (
            NotFound("scaledobjects", "x") if "keda" in path else AccessDenied("the cluster does not let us list hpas")
        )

    assert autoscaled(listed, "city") == (
        {},
        ["not looked for a HorizontalPodAutoscaler: the cluster does not let us list hpas"],
    )


PLACES = {"web": (0, 0), "web-a": (0, 0), "web-b": (0, 1), "api": (1, 0), "api-a": (1, 0)}


def _at(generation: int, replicas: int = 1, paused: bool = False) -> Deployment:
    return Deployment(replicas, generation, generation, True, "", paused)


def test_replicas_that_others_write_are_written_back_twice_and_then_left_to_them() -> None:
    others = GivingWay(PLACES, override=False)
    seen = [others.look({"web-a": _at(generation)}, ["web-a"]) for generation in (3, 3, 5, 7)]
    assert seen[:3] == [{}, {}, {}], "the same write counts once"
    assert seen[3] == {0: "somebody else set the replicas of Deployment web-a 3 times"}
    assert others.look({"web-a": _at(7)}, []).keys() == {0}, "and it stays so"


def test_overriding_goes_on_whatever_others_write() -> None:
    others = GivingWay(PLACES, override=True)
    assert [others.look({"api": _at(g)}, ["api"]) for g in range(9)] == [{}] * 9


def test_a_deployment_is_paused_by_an_annotation_on_it_or_on_one_of_its_pools_until_that_is_gone(caplog: Any) -> None:
    others = GivingWay(PLACES, override=True)
    assert others.look({"api-a": _at(1, paused=True), "web": _at(1)}, []).keys() == {1}
    assert "left alone: Deployment api-a has the annotation lwmecps.io/paused" in caplog.text
    assert others.look({"api-a": _at(2), "web": _at(1)}, []) == {}
    assert "no longer left alone" in caplog.text


@pytest.mark.parametrize(("value", "paused"), [("true", True), ("", True), ("False", False), (None, False)])
def test_any_value_of_the_annotation_but_false_pauses(value: str | None, paused: bool) -> None:
    annotations = {} if value is None else {"lwmecps.io/paused": value}
    raw = {"metadata": {"name": "web", "annotations": annotations}, "spec": {"replicas": 2}}
    assert deployment_of(raw).paused is paused
