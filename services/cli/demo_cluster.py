"""`lwmecps demo --backend kubernetes`: train on simulated clusters, then act on a real one, beside its autoscaler."""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from lwmecps_core import baselines
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.results import Row
from lwmecps_core.rollout.actor import Actor
from lwmecps_core.rollout.collector import CollectionPlan
from lwmecps_core.rollout.drive import drive
from lwmecps_core.specs import DeploymentSpec, EnvId, KubernetesSpec, NodeSpec, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training.evaluation import rows as rows_of
from services.cli.acting import RemotePolicy
from services.cli.clients import Clients
from services.cli.cluster import Cluster
from services.cli.demo_plan import carry_out, context_training
from services.cli.demo_settings import DemoSettings
from services.cli.local import SystemPlan, running
from services.cli.render import console, print_json, table, tell
from services.cli.tasks import register
from services.common.sessions import SessionEnv

KUBE_UP = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lwmecps" / "kube" / "kubeconfig"
"""The kubeconfig that `make kube-up` writes. The demo takes a cluster of somebody's own only when it is told to."""
NAMESPACE = "lwmecps-demo"
IMAGE = "registry.k8s.io/pause:3.9"
FIELD_MANAGER = "lwmecps-demo"
SETTLE_S = 60.0


@dataclass(frozen=True)
class ClusterDemoOrder:
    """What the command was asked for; an empty `redis_url` means a Redis of our own."""

    out: Path
    seed: int
    env: EnvId
    kubeconfig: Path
    redis_url: str


@dataclass(frozen=True)
class Deployed:
    """A Deployment with replicas: how many are ready of those asked for, and the nodes that its pods are on."""

    name: str
    ready: int
    replicas: int
    nodes: tuple[str, ...]
    image: str


def run(order: ClusterDemoOrder, as_json: bool, settings: DemoSettings = DemoSettings()) -> None:
    """Deploy the services of a task, let the autoscaler and then the policy act on them for an episode each, and show
    what came of it.
    """
    began = time.monotonic()
    os.environ["KUBECONFIG"] = str(order.kubeconfig)  # what the env-service reads
    order.out.mkdir(parents=True, exist_ok=True)
    training = TaskDistribution(
        family="mec_city", env_id=order.env, nodes=settings.nodes, deployments=settings.deployments
    )
    with closing(DemoCluster(order.kubeconfig)) as cluster:
        task = on_cluster(draw(training, order.seed), cluster.ready_nodes(settings.nodes), settings)
        cluster.deploy(task.deployments)
        before = cluster.deployed()
        with (
            tempfile.TemporaryDirectory(prefix="lwmecps-demo-") as state,
            running(SystemPlan(Path(state), redis_url=order.redis_url, workers=2, slots=1), tell) as system,
        ):
            clients = Clients(system.addresses)
            training_id = register(clients, training, "demo-training").id
            done = carry_out(clients, [context_training(training_id, order.seed, settings)], system.check)
            policy_id = done["context_train"].run.result_policy_id
            actors: dict[str, Actor] = {
                "hpa": baselines.make("hpa", [task], [0]),
                "context": RemotePolicy(clients, policy_id, env_spec(task)),
            }
            rows = [_episode(clients, task, name, actor, order.seed) for name, actor in actors.items()]
        after = cluster.deployed()
    wall_s = time.monotonic() - began
    result = {
        "seed": order.seed,
        "namespace": NAMESPACE,
        "wall_s": wall_s,
        "rows": [asdict(row) for row in rows],
        "before": [asdict(x) for x in before],
        "after": [asdict(x) for x in after],
    }
    (order.out / "cluster.json").write_text(json.dumps(result, indent=1) + "\n")
    if as_json:
        print_json(result)
        return
    console.print(_deployments("before", before))
    console.print(_deployments("after the policy's episode", after))
    console.print(_rows(rows))
    console.print(
        f"kubectl get deploy,pods -n {NAMESPACE} -o wide shows the same (KUBECONFIG={order.kubeconfig})",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"cluster.json is in {order.out}; took {wall_s:.0f} s", highlight=False)


def _episode(clients: Clients, task: TaskSpec, name: str, actor: Actor, seed: int) -> Row:
    """One episode on the cluster, without chance in what is done; under one seed all actors meet the same load."""
    env = SessionEnv(clients.env, task, "kubernetes")
    try:
        batches, _ = drive(env, actor, CollectionPlan(seeds=(seed,), episodes=1, greedy=True), again=False)
    finally:
        env.close()
    (row,) = rows_of(batches, [task.name], name, 0, 0, 0.0)
    return row


def on_cluster(task: TaskSpec, nodes: Sequence[NodeSpec], settings: DemoSettings) -> TaskSpec:
    """The task with the cluster's nodes in place of its own; their users and distances stay those that were drawn."""
    given = [
        replace(drawn, name=real.name, cpu_millicores=real.cpu_millicores, ram_mib=real.ram_mib)
        for drawn, real in zip(task.cluster.nodes, nodes, strict=True)
    ]
    names = {drawn.name: real.name for drawn, real in zip(task.cluster.nodes, nodes, strict=True)}
    deployments = tuple(
        replace(d, allowed_nodes=tuple(names[name] for name in d.allowed_nodes)) for d in task.deployments
    )
    return replace(
        task,
        cluster=replace(task.cluster, nodes=tuple(given)),
        deployments=deployments,
        horizon=settings.real_horizon,
        kubernetes=KubernetesSpec(namespace=NAMESPACE, manage=True, usage="simulated", pace=settings.real_pace),
    )


class DemoCluster(Cluster):
    """The real cluster, with the demo's services in a namespace of their own."""

    def ready_nodes(self, count: int) -> list[NodeSpec]:
        """The first `count` Ready nodes; raises `InvalidInput` where there are fewer."""
        found = self.nodes()
        if len(found) < count:
            raise self.wrong(f"has {len(found)} nodes that are Ready; the demo needs {count}")
        return found[:count]

    def deploy(self, deployments: Sequence[DeploymentSpec]) -> None:
        """Make the namespace with these services and no others, as they are deployed at first, and wait for them."""
        try:
            self.core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
        except ApiException as error:
            if error.status != 409:
                raise
        for name in {d.name for d in self.deployed()} - {d.name for d in deployments}:
            self.apps.delete_namespaced_deployment(name, NAMESPACE)
        for spec in deployments:
            self.apps.patch_namespaced_deployment(
                spec.name,
                NAMESPACE,
                _manifest(spec),
                field_manager=FIELD_MANAGER,
                force=True,
                _content_type="application/apply-patch+yaml",
            )
        end = time.monotonic() + SETTLE_S
        while any(d.ready < d.replicas for d in self.deployed()):
            if time.monotonic() > end:
                raise self.wrong(f"pods in namespace {NAMESPACE} were not ready within {SETTLE_S:.0f} s")
            time.sleep(0.2)

    def deployed(self) -> list[Deployed]:
        """The namespace's Deployments that have replicas, by name."""
        pods = self.plain(self.core.list_namespaced_pod(NAMESPACE))
        found = []
        for raw in self.plain(self.apps.list_namespaced_deployment(NAMESPACE)):
            selector, wanted = raw["spec"]["selector"]["matchLabels"].items(), raw["spec"]["replicas"]
            on = {
                p["spec"].get("nodeName", "")
                for p in pods
                if selector <= p["metadata"].get("labels", {}).items() and "deletionTimestamp" not in p["metadata"]
            }
            if wanted:
                ready, image = raw["status"].get("readyReplicas", 0), raw["spec"]["template"]["spec"]["containers"][0]
                found.append(Deployed(raw["metadata"]["name"], ready, wanted, tuple(sorted(on - {""})), image["image"]))
        return sorted(found, key=lambda d: d.name)


def _manifest(spec: DeploymentSpec) -> dict[str, Any]:
    """A service as a user would deploy it, wherever the scheduler likes."""
    labels = {"app": spec.name}
    requests = {"cpu": f"{spec.cpu_millicores:.0f}m", "memory": f"{spec.ram_mib:.0f}Mi"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": spec.name, "namespace": NAMESPACE},
        "spec": {
            "replicas": spec.initial_replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": IMAGE, "resources": {"requests": requests}}]},
            },
        },
    }


def _deployments(title: str, deployed: Sequence[Deployed]) -> Any:
    lines = ([d.name, f"{d.ready}/{d.replicas}", ", ".join(d.nodes), d.image] for d in deployed)
    return table(f"Deployments in namespace {NAMESPACE}, {title}", ("name", "ready", "nodes", "image"), lines)


def _rows(rows: Sequence[Row]) -> Any:
    columns = ("method", "reward", "latency ms", "replicas", "SLA misses", "moves", "load correlation")
    lines = (
        [
            r.method,
            f"{r.reward:.2f}",
            f"{r.latency_mean_ms:.0f}",
            f"{r.replicas_mean:.2f}",
            f"{100 * r.sla_miss_share:.1f} %",
            f"{r.moves_mean:.2f}",
            f"{r.load_correlation:.2f}",
        ]
        for r in rows
    )
    return table("one episode on the cluster each, under the same load", columns, lines)
