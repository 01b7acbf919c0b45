"""Which loop does which kind of run: that of `lwmecps_core.training.work`."""

from collections.abc import Iterator, Mapping

from lwmecps_core.kinds import KINDS
from lwmecps_core.training.progress import Progress
from lwmecps_core.training.work import TASKS_BESIDE, LoopWork, steps
from services.learner_service.jobs import Loop, LoopInput


def _work(x: LoopInput) -> Iterator[Progress]:
    spec, beside = x.job.spec, KINDS[x.job.spec.kind].beside
    others = getattr(x, TASKS_BESIDE[beside]) if beside else ()
    return steps(LoopWork(spec.settings, x.source, spec.learns_by, x.policy, others, spec.seed), x.collector, x.start)


LOOPS: Mapping[str, Loop] = dict.fromkeys(KINDS, _work)
"""By the names of the settings in `RunSpec`."""
