from collections.abc import Iterator

import httpx
import pytest

from tests.gateway.system import InProcess, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """The services and a gateway, for the tests of one module."""
    with running(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture
def http(system: InProcess) -> Iterator[httpx.Client]:
    """A client of the gateway."""
    with httpx.Client(base_url=system.url, timeout=300) as client:
        yield client
