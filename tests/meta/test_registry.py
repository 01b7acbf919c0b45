"""The registry of meta-learners."""

import pytest

from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput
from lwmecps_core.meta import REGISTRY
from lwmecps_core.meta.base import point_weights
from lwmecps_core.run_config import META_LEARNERS, FOMAMLConfig, IMAMLConfig, MetaConfig


def test_every_meta_learner_has_settings() -> None:
    assert set(META_LEARNERS) == set(REGISTRY)


@pytest.mark.parametrize("former", [{"method": "implicit_fomaml"}, {"learner": "implicit_fomaml"}])
def test_it_answers_to_its_former_name(former: dict[str, str]) -> None:
    assert parse(MetaConfig, {**former, "proximal": 3.0}, "file") == MetaConfig(learner=IMAMLConfig(proximal=3.0))


def test_a_meta_learners_settings_may_stand_among_the_others_or_by_themselves() -> None:
    flat = {"method": "fomaml", "rate_lr": 0.5, "inner_lr": 0.1}
    nested = {"learner": {"name": "fomaml", "rate_lr": 0.5}, "inner_lr": 0.1}
    assert parse(MetaConfig, flat, "file") == parse(MetaConfig, nested, "file")
    assert (
        dump(parse(MetaConfig, flat, "file")).items() >= dict(nested, learner=dump(FOMAMLConfig(rate_lr=0.5))).items()
    )


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"method": "maml", "proximal": 1.0}, "learner.maml.proximal"),
        ({"learner": {"name": "reptile", "rate_lr": 0.1}}, "learner.reptile.rate_lr"),
        ({"method": "sgd"}, "learner"),
        ({"learner": 3}, "learner"),
        ({"solver_step": 3}, "solver_step"),
    ],
)
def test_what_a_meta_learner_does_not_use_is_refused_by_name(settings: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(MetaConfig, settings, "file")
    assert [violation.field for violation in caught.value.violations] == [field]


def test_the_points_before_the_last_share_what_the_multi_step_loss_gives_them() -> None:
    assert point_weights(0.5, 3) == (0.25, 0.25, 0.5)
    assert point_weights(0.0, 2) == (0.0, 1.0)
