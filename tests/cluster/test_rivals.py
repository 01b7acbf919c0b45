"""Who else writes the replicas of a Deployment."""

from typing import Any

import pytest

from lwmecps_core.cluster.kubernetes_rivals import autoscaled, written_by
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
