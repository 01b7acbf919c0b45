"""Which loop does which kind of run: the function of `lwmecps_core.training` that has the kind's name."""

from collections.abc import Iterator, Mapping

from lwmecps_core import training
from lwmecps_core.kinds import KINDS, Kind
from lwmecps_core.training.progress import Progress
from services.learner_service.jobs import Loop, LoopInput

TASKS_BESIDE = {"source_task_ids": "origin", "calibration_task_ids": "calibration"}
"""Field of a run → the name under which loops take the tasks in it."""


def _loop(name: str, kind: Kind) -> Loop:
    work, beside = getattr(training, name), TASKS_BESIDE[kind.beside] if kind.beside else None

    def run(x: LoopInput) -> Iterator[Progress]:
        spec = x.job.spec
        given = (x.source, spec.learns_by) if kind.from_nothing else (x.policy, x.source)
        others = {beside: getattr(x, beside)} if beside else {}
        steps: Iterator[Progress] = work(*given, spec.settings, x.collector, seed=spec.seed, start=x.start, **others)
        return steps

    return run


LOOPS: Mapping[str, Loop] = {name: _loop(name, kind) for name, kind in KINDS.items()}
"""By the names of the settings in `RunSpec`."""
