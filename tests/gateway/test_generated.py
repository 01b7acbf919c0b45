"""Requests that are generated from the OpenAPI document: none makes the gateway, or what is behind it, fail."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from services.gateway.openapi import document
from tests.gateway.system import InProcess, running

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis brings the generator")
EXAMPLES = int(os.environ.get("GENERATED_REQUESTS", "4"))
"""Requests for each operation; always the same ones."""
pytestmark = pytest.mark.timeout(900)
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(document()).get_all_operations()]


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A system whose learner works on no run."""
    with running(tmp_path_factory.mktemp("generated"), slots=0) as made:
        yield made


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method.upper()} {one.path}")
def test_no_generated_request_fails(operation: Any, idle: InProcess) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        answer = case.call(base_url=idle.url, timeout=60)
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.text}"

    ask()
