"""`lwmecps demo --backend kubernetes` in small: what the services learnt moves pods of a real cluster."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lwmecps_core.errors import InvalidInput
from scripts.kube import ControlPlane
from services.cli import demo_cluster
from services.cli.demo_settings import DemoSettings

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


def _small() -> DemoSettings:
    usual = DemoSettings()
    return replace(
        usual,
        meta=replace(usual.meta, num_meta_epochs=2, meta_batch_size=2, adaptation_steps=1, episodes_per_step=1),
        real_adaptation=replace(usual.real_adaptation, adaptation_steps=1),
        real_horizon=5,
    )


def test_the_demo_deploys_services_and_adapts_a_policy_that_moves_their_pods(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", os.environ.get("KUBECONFIG", ""))  # the demo sets it: undone afterwards
    order = demo_cluster.Order(tmp_path, seed=3, env="lwmecps-v3", kubeconfig=control_plane.kubeconfig, redis_url="")
    for _ in range(2):  # also where an earlier demo was
        demo_cluster.run(order, as_json=True, settings=_small())
    result = json.loads((tmp_path / "cluster.json").read_text())
    assert [row["inner_steps"] for row in result["rows"]] == [0, 1]
    services = {f"app-{i}" for i in range(1, 5)}
    assert {d["name"] for d in result["before"]} == services
    # The services' own Deployments gave way to one for each node where a service runs, each with its pods there.
    assert len(result["after"]) == 4 and not services & {d["name"] for d in result["after"]}
    for deployed in result["after"]:
        assert deployed["ready"] == deployed["replicas"] >= 1
        assert deployed["nodes"] == [deployed["name"].split("-", 2)[2]]


def test_without_a_cluster_the_demo_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="make kube-up"):
        demo_cluster.Cluster(tmp_path / "kubeconfig")
