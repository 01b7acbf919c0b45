"""Which loop does which kind of run: the one table that a new kind of run is added to."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from lwmecps_core import training
from lwmecps_core.training.progress import Progress
from services.learner_service.jobs import Loop, LoopInput


def _from_nothing(loop: Callable[..., Iterator[Progress]]) -> Loop:
    def run(x: LoopInput) -> Iterator[Progress]:
        return loop(x.source, x.job.algorithm, x.job.settings, x.collector, seed=x.job.seed, start=x.start)

    return run


def _from_policy(loop: Callable[..., Iterator[Progress]]) -> Loop:
    def run(x: LoopInput) -> Iterator[Progress]:
        return loop(x.policy, x.source, x.job.settings, x.collector, seed=x.job.seed, start=x.start)

    return run


def _transfer(x: LoopInput) -> Iterator[Progress]:
    return _from_policy(partial(training.transfer, origin=x.origin))(x)


def _evaluate(x: LoopInput) -> Iterator[Progress]:
    settings, seed = x.job.settings, x.job.seed
    return training.evaluate(
        x.policy, x.source, settings, x.collector, seed=seed, start=x.start, calibration=x.calibration
    )


LOOPS: Mapping[str, Loop] = {
    "train": _from_nothing(training.train),
    "meta_train": _from_nothing(training.meta_train),
    "transfer": _transfer,
    "adapt": _from_policy(training.adapt),
    "evaluate": _evaluate,
}
"""By the names of the settings in `RunSpec`."""
