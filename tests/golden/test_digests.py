"""A change of structure changes no result: digests of an earlier commit still hold, in process and through Redis."""

from collections.abc import Iterator

import pytest
import torch

from lwmecps_core.rollout.queue_collector import QueueCollectorConfig
from lwmecps_core.rollout.unroll import unroll
from tests.golden import digests
from tests.rollout.running import Bench

KNOWN = digests.known()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The last bits of a matrix product depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("part", digests.PARTS)
def test_results_are_bit_equal_to_those_recorded(part: str) -> None:
    if digests.machine() not in KNOWN:
        pytest.skip(f"the digests are those of {'; '.join(KNOWN)}; here: {digests.machine()}")
    found, known = digests.PARTS[part](), KNOWN[digests.machine()][part]
    assert {name for name in known if found.get(name) != known[name]} == set()


def test_rollouts_through_redis_equal_those_in_process(redis_client) -> None:  # type: ignore[no-untyped-def]
    bench = Bench(redis_client)
    try:
        with bench.working(unroll=unroll):
            through_redis = digests.rollouts(bench.collector(QueueCollectorConfig(timeout_s=60)))
    finally:
        bench.delete()
    here = KNOWN.get(digests.machine())
    known = here["rollouts"] if here else digests.PARTS["rollouts"]()
    assert {name for name in known if through_redis[name] != known[name]} == set()
    assert len(known) > 50


def test_what_has_changed_here_holds_nowhere_else_either(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(digests, "FILE", tmp_path / "digests.json")
    digests.FILE.write_text('{"here": {"runs": {"a": "1", "b": "2"}}, "there": {"runs": {"a": "3", "b": "4"}}}')
    assert digests.record("here", {"runs": {"a": "1", "b": "5"}}) == ["runs: b"]
    assert digests.known() == {"here": {"runs": {"a": "1", "b": "5"}}, "there": {"runs": {"a": "3"}}}
    assert digests.record("new", {"runs": {"a": "6"}}) == []
    assert digests.known()["there"] == {"runs": {"a": "3"}}
