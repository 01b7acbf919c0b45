"""The short form of `python -m tests.chaos --load HOURS`: what must be exact under load, without its timings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.databases import postgresql_binaries
from tests.chaos.fuzzing import NO_WORK
from tests.chaos.latency import Echo, echo_server
from tests.chaos.load import Size, fill
from tests.chaos.load_registry import oldest_first
from tests.chaos.load_sessions import step_sessions
from tests.chaos.soak import CALLS_PER_HOUR, Footprint, judge, soak
from tests.chaos.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(170)]
SMALL = Size(sessions=40, steps=5, runs=100, tasks=500)


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with echo_server() as call:
        yield call


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system after some seconds of use, with its registry on SQLite."""
    with running(tmp_path_factory.mktemp("load") / "state", learners=1) as system:
        found = soak(system, 1.0, 5.0)
        assert found["calls"] and found["runs"] and not found["wrong"]
        yield system


def test_sessions_stepped_side_by_side_show_what_each_shows_alone(busy: System, echo: Echo) -> None:
    found = step_sessions(busy.clients, echo, sessions=SMALL.sessions, steps=SMALL.steps, threads=SMALL.threads)
    assert found["StepSession"]["calls"] == SMALL.sessions * SMALL.steps
    assert not found["wrong"]


@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgresql"])
def test_long_queues_and_lists_are_exact(tmp_path: Path, echo: Echo, postgres: bool) -> None:
    if postgres and postgresql_binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian package: postgresql)")
    with running(tmp_path / "state", learners=1, more=NO_WORK, postgres=postgres) as system:
        found = fill(system.clients, echo, SMALL)
    assert {name: part["broken"] for name, part in found.items()} == {"runs": [], "tasks": []}


def test_growth_of_memory_files_or_threads_is_noticed() -> None:
    def verdict(mib: float = 0, files: int = 0, threads: int = 0) -> bool:
        parts = [part / 100 for part in range(101)]
        samples = [
            (round(x * CALLS_PER_HOUR), {"it": Footprint(100 + mib * x, 20 + round(files * x), 9 + round(threads * x))})
            for x in parts
        ]
        return bool(judge(samples)["it"]["flat"])

    assert verdict()
    assert not verdict(mib=20) and not verdict(files=40) and not verdict(threads=40)


def test_a_claim_of_an_older_run_after_a_younger_one_is_noticed() -> None:
    assert oldest_first([(0, 1, "a"), (2, 3, "b")], ["a", "b"])
    assert oldest_first([(0, 3, "b"), (2, 4, "a")], ["a", "b"]), "side by side, either may come first"
    assert not oldest_first([(0, 1, "b"), (2, 3, "a")], ["a", "b"])
