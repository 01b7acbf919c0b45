"""The fake kubelets, without a control plane."""

import threading
from typing import Any

from scripts.kube.fake_nodes import FakeNodes


class _BusyServer:
    """Refuses the first two attempts to say that a node is ready, as a server out of breath does."""

    def __init__(self) -> None:
        self.refusals, self.said = 2, threading.Event()

    def watch(self, path: str, selector: str) -> Any:
        node = {"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
        yield "SYNCED", {"items": [node] if path.endswith("nodes") else []}
        threading.Event().wait()  # nothing more is told

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("node-1/status"):
            if self.refusals:
                self.refusals -= 1
                raise OSError("timed out")
            self.said.set()
        return {}


def test_a_node_that_was_called_unreachable_is_ready_again_though_the_server_was_too_busy_to_hear_it_once() -> None:
    server = _BusyServer()
    nodes = FakeNodes(server, beat_s=0.05, pod_start_s=0.0)
    threading.Thread(target=nodes.run, daemon=True).start()
    assert server.said.wait(10.0)
