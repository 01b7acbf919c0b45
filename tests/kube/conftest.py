"""A real control plane for the tests marked `kube`, where its servers can be had."""

from collections.abc import Iterator

import pytest

from scripts.kube import BinariesMissing, ControlPlane, control_plane, find_binaries

START_S = 600
"""Timeout of a test, whose first one starts the servers; a thousand nodes take their time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("kube"):
            item.add_marker(pytest.mark.timeout(START_S))


@pytest.fixture(scope="session")
def control_plane_binaries() -> None:
    """Skips where there are no servers to start; never builds them."""
    try:
        find_binaries()
    except BinariesMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session", name="control_plane")
def running_control_plane(control_plane_binaries: None) -> Iterator[ControlPlane]:
    """A control plane with four fake nodes of 8 CPUs, `node-0` to `node-3`, shared by the session's tests."""
    with control_plane(nodes=4) as cluster:
        yield cluster
