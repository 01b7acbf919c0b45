"""What a cell of streams finds: the matrix R of every way of keeping."""

import time

from bench.learners.streams import EVALUATION_SEED, STREAM_SEED, Stream, StreamCell, StreamOutcome
from lwmecps_core.continual_config import ContinualConfig
from lwmecps_core.forgetting import matrix
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.training import continual, train

COLLECTOR = LocalCollector()


def run(cell: StreamCell) -> StreamOutcome:
    """Train the policy, and let it meet the stream once in every way."""
    begun = time.process_time()
    *_, last = train(TaskDistribution(), cell.algorithm, cell.training, COLLECTOR, seed=cell.seed)
    assert last.policy is not None
    cpu_s, clusters = time.process_time() - begun, stream(cell)
    found = tuple(_met(last.policy, clusters, name, cfg) for name, cfg in cell.ways)
    return StreamOutcome(streams=found, training_cpu_s=cpu_s)


def stream(cell: StreamCell) -> tuple[TaskSpec, ...]:
    """The clusters in their order: other ones for every seed, the same for every way."""
    first = STREAM_SEED + 1000 * cell.seed
    return tuple(
        draw(TaskDistribution(family=family), first + number)
        for number in range(cell.rounds)
        for family in cell.families
    )


def _met(policy: PolicyData, clusters: tuple[TaskSpec, ...], name: str, cfg: ContinualConfig) -> Stream:
    begun = time.process_time()
    steps = continual(policy, clusters, cfg, COLLECTOR, seed=EVALUATION_SEED)
    _, r = matrix([row for step in steps for row in step.rows])
    return Stream(keeping=name, r=tuple(map(tuple, r.round(3).tolist())), cpu_s=time.process_time() - begun)
