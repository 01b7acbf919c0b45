"""What a run waits for, from its collector to its record."""

import threading
from collections.abc import Iterator

from lwmecps_core.training.progress import Progress
from services.common.client import connect
from services.learner_service.jobs import LoopInput
from services.learner_service.registry_client import RegistryClient
from services.learner_service.run_pool import RunPool

from .conftest import PACE, Registry
from .fakes import NoCollector, summing_loop, wait_until, workshop

TOLD = "a worker: none has reported for 5 s"


class Waiting(NoCollector):
    """A collector that says so for as long as it is `stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = threading.Event()

    def waiting_for(self) -> str:
        return TOLD if self.stuck.is_set() else ""


def test_the_record_says_what_the_run_waits_for_until_it_goes_on(registry: Registry) -> None:
    collector, go_on = Waiting(), threading.Event()

    def loop(x: LoopInput) -> Iterator[Progress]:
        go_on.wait(30)
        yield from summing_loop(3)(x)

    client = RegistryClient(connect(registry.address), registry.address, "learner", lease_s=3.0)
    pool = RunPool(client, workshop(client, loop, PACE, collector).work, count=1, poll_every_s=0.05)
    run_id = registry.create_run(registry.create_task())
    collector.stuck.set()
    pool.start()
    try:
        wait_until(lambda: registry.run(run_id).waiting_for == TOLD)
        collector.stuck.clear()
        wait_until(lambda: registry.run(run_id).waiting_for == "")
        collector.stuck.set()
        wait_until(lambda: registry.run(run_id).waiting_for == TOLD)
        go_on.set()
        assert registry.wait(run_id, "COMPLETED").waiting_for == ""
    finally:
        go_on.set()
        pool.stop(5.0)
