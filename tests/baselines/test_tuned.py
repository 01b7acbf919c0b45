"""Which baselines look at the tasks that they are tuned on."""

import pytest

from lwmecps_core import baselines
from lwmecps_core.idle import TUNED
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw

CITY = TaskDistribution(family="mec_city", nodes=2, deployments=2, horizon=4)


class _Asked(tuple[TaskSpec, ...]):
    """Tasks that know whether anybody has looked at them."""

    asked = False

    def __iter__(self):  # type: ignore[no-untyped-def]
        type(self).asked = True
        return super().__iter__()

    def __len__(self) -> int:
        type(self).asked = True
        return super().__len__()


@pytest.mark.parametrize("name", baselines.NAMES)
def test_those_that_are_tuned_on_other_tasks_are_named(name: str) -> None:
    class Asked(_Asked):
        pass

    baselines.make(name, (draw(CITY, 0),), [0], training_tasks=Asked((draw(CITY, 1),)))
    assert Asked.asked == (name in TUNED)
