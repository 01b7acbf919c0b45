"""`lwmecps demo --backend kubernetes` in small: what the services learnt moves pods of a real cluster."""

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import DeploymentSpec, TaskSpec
from lwmecps_core.tasks.files import load_task
from scripts.kube import ControlPlane
from services.cli import demo_cluster
from services.cli.demo_settings import DemoSettings
from services.cli.main import app
from tests.kube.cluster import namespace

pytestmark = pytest.mark.kube


def _small() -> DemoSettings:
    usual = DemoSettings()
    short = {"total_episodes": 12, "tasks_per_batch": 2, "episodes_per_batch": 1}
    return replace(
        usual,
        multi_task=replace(usual.multi_task, **short),
        context_training=replace(usual.context_training, **short),
        real_horizon=5,
    )


def test_the_demo_deploys_services_and_a_policy_moves_their_pods_beside_the_autoscaler(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", os.environ.get("KUBECONFIG", ""))  # the demo sets it: undone afterwards
    order = demo_cluster.ClusterDemoOrder(
        tmp_path, seed=3, env="lwmecps-v3", kubeconfig=control_plane.kubeconfig, redis_url=""
    )
    with closing(demo_cluster.DemoCluster(control_plane.kubeconfig)) as cluster:
        cluster.deploy([DeploymentSpec(name="of-an-earlier-demo")])
    demo_cluster.run(order, as_json=True, settings=_small())
    result = json.loads((tmp_path / "cluster.json").read_text())
    assert [row["method"] for row in result["rows"]] == ["hpa", "context"]
    services = {f"app-{i}" for i in range(1, 5)}
    assert {d["name"] for d in result["before"]} == services
    # The services' own Deployments gave way to one for each node where a service runs, each with its pods there.
    assert not services & {d["name"] for d in result["after"]}
    for deployed in result["after"]:
        assert deployed["ready"] == deployed["replicas"] >= 1
        assert deployed["nodes"] == [deployed["name"].split("-", 2)[2]]


def test_without_a_cluster_the_demo_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="make kube-up"):
        demo_cluster.DemoCluster(tmp_path / "kubeconfig")


def test_a_task_file_is_made_of_what_the_cluster_has(control_plane: ControlPlane, tmp_path: Path) -> None:
    web, api = (DeploymentSpec(name=name, cpu_millicores=250.0, ram_mib=128.0) for name in ("web", "api"))
    command = ["task", "discover", "--kubeconfig", str(control_plane.kubeconfig), "--env", "lwmecps-v4", "--namespace"]
    with namespace(control_plane) as bench:
        refused = CliRunner().invoke(app, [*command, bench.namespace])
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert f"0 Deployments in '{bench.namespace}'" in refused.stderr
        bench.deploy(web, 3, {"tier": "edge"})
        bench.deploy(api, 1)
        made = CliRunner().invoke(app, [*command, bench.namespace, "--selector", "tier=edge"])
        assert made.exit_code == 0, made.stderr
        file = tmp_path / "task.yaml"
        file.write_text(made.stdout)
        task = load_task(file)
        assert isinstance(task, TaskSpec) and task.kubernetes is not None and not task.kubernetes.manage
        assert {node.name for node in task.cluster.nodes} >= {f"node-{i}" for i in range(4)}
        assert task.cluster.nodes[0].cpu_millicores == 8000.0
        (found,) = task.deployments
        assert (found.name, found.cpu_millicores, found.ram_mib, found.initial_replicas) == ("web", 250.0, 128.0, 3)
        dry = replace(task, kubernetes=replace(task.kubernetes, usage="simulated"))
        with bench.backend(dry) as backend:
            assert backend.reset(1).desired.sum() == 3
