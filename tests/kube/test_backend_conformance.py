"""The real cluster keeps what every backend promises."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lwmecps_core.cluster.kubernetes import KubernetesBackend
from lwmecps_core.specs import KubernetesSpec
from lwmecps_core.testing.backends import BackendConformance, conformance_task
from scripts.kube import ControlPlane
from scripts.kube.nodes import FakeNode
from tests.kube.cluster import INTERVAL_S, namespace

pytestmark = pytest.mark.kube


@pytest.fixture(scope="module")
def small_nodes(control_plane: ControlPlane) -> None:
    """The nodes of the suite's task."""
    control_plane.add_nodes([FakeNode(name, "1500m", "4Gi") for name in ("node-a", "node-b")])


class TestKubernetesBackend(BackendConformance):
    @pytest.fixture
    def backend(self, control_plane: ControlPlane, small_nodes: None) -> Iterator[KubernetesBackend]:
        with namespace(control_plane) as bench:
            spec = KubernetesSpec(namespace=bench.namespace, manage=True, usage="simulated", ready_deadline_s=20.0)
            task = replace(conformance_task(), interval_s=INTERVAL_S, kubernetes=spec)
            for deployment in task.deployments:
                bench.deploy(deployment, 0)
            with bench.backend(task) as backend:
                yield backend
