"""A real Kubernetes control plane on loopback, with fake nodes, to test on."""

from .binaries import BinariesMissing, find_binaries
from .control_plane import ControlPlane, control_plane
from .nodes import FakeNode

__all__ = ["BinariesMissing", "ControlPlane", "FakeNode", "control_plane", "find_binaries"]
