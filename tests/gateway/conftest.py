from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

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


@pytest.fixture
def window() -> Iterator[Callable[..., Any]]:
    """Opens a window (`browser.Page`) of some size and colours on a gateway."""
    from tests.gateway.browser import open_window  # not everywhere is a browser's remote control

    opened: list[Any] = []
    yield partial(open_window, opened=opened)
    for driver in opened:
        driver.quit()
