"""The fake kubelets, without a control plane."""

from typing import Any

from scripts.kube.fake_nodes import FakeNodes


class _BusyServer:
    """Refuses the first two attempts to say that a node is ready, as a server out of breath does."""

    def __init__(self) -> None:
        self.refusals, self.said = 2, 0

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("node-1/status"):
            if self.refusals:
                self.refusals -= 1
                raise OSError("timed out")
            self.said += 1
        return {}


def _node(status: str) -> dict[str, Any]:
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": status}]}}


def test_a_node_that_was_called_unreachable_is_ready_again_though_the_server_was_too_busy_to_hear_it_once() -> None:
    server = _BusyServer()
    nodes = FakeNodes(server, beat_s=1.0, pod_start_s=0.0)  # type: ignore[arg-type]
    nodes._look_at_node(_node("Unknown"))
    nodes._beat_once("node-1")
    assert server.said == 0
    nodes._beat_once("node-1")
    assert server.said == 1
    nodes._look_at_node(_node("True"))
    nodes._beat_once("node-1")
    assert server.said == 1
