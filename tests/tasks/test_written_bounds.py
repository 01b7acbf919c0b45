"""Multipliers of bounds that aren't there: refused where they are written, taken where they were written before."""

from dataclasses import replace

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.objective import SloSpec
from lwmecps_core.rollout.spec_codec import task_from_proto, task_to_proto
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.bounds import check_multipliers
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.files import read_task_data

ALONE = {"failed_share": "latency_p95_multiplier", "latency_p95_ms": "failed_share_multiplier"}


@pytest.mark.parametrize(("bound", "multiplier"), ALONE.items())
def test_a_multiplier_that_is_written_needs_its_bound(bound: str, multiplier: str) -> None:
    slo = {bound: 0.5, multiplier: 2.0}
    with pytest.raises(InvalidInput, match=rf"here: slo\.{multiplier}: acts with .*, which isn't given"):
        read_task_data({"family": "mec_city", "slo": slo}, "here")
    both = {"failed_share": 0.5, "latency_p95_ms": 0.5, multiplier: 2.0}
    read_task_data({"family": "mec_city", "slo": both}, "here")


def test_what_learners_of_before_sent_is_taken() -> None:
    slo = SloSpec(failed_share=0.5, latency_p95_multiplier=2.0)
    task = draw(TaskDistribution(slo=slo), 0)
    assert task_from_proto(task_to_proto(task), "task") == task
    with pytest.raises(InvalidInput, match=r"objective\.slo\.latency_p95_multiplier"):
        check_multipliers(task, "task")
    check_multipliers(replace(task, objective=replace(task.objective, slo=None)), "task")
