"""A change of structure changes no result: digests of an earlier commit still hold, in process and through Redis."""

import json
from collections.abc import Iterator

import pytest
import torch

from lwmecps_core.rollout.queue_collector import QueueCollectorConfig
from lwmecps_core.rollout.unroll import unroll
from tests.golden import digests
from tests.rollout.running import Bench

KNOWN = json.loads(digests.FILE.read_text())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The last bits of a matrix product depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _require_the_same_machine() -> None:
    if KNOWN["machine"] != digests.machine():
        pytest.skip(f"the digests are those of {KNOWN['machine']}; here: {digests.machine()}")


@pytest.mark.parametrize("part", digests.PARTS)
def test_results_are_bit_equal_to_those_recorded(part: str) -> None:
    _require_the_same_machine()
    found, known = digests.PARTS[part](), KNOWN[part]
    assert {name for name in known if found.get(name) != known[name]} == set()


def test_rollouts_through_redis_equal_those_in_process(redis_client) -> None:  # type: ignore[no-untyped-def]
    bench = Bench(redis_client)
    try:
        with bench.working(unroll=unroll):
            through_redis = digests.rollouts(bench.collector(QueueCollectorConfig(timeout_s=60)))
    finally:
        bench.delete()
    known = KNOWN["rollouts"] if KNOWN["machine"] == digests.machine() else digests.PARTS["rollouts"]()
    assert {name for name in known if through_redis[name] != known[name]} == set()
    assert len(known) > 50
