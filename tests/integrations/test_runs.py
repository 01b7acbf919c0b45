"""Searches ask for runs by the one names of settings, and leave runs as they should."""

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from lwmecps_core.errors import InvalidInput, RunEnded, ServiceUnavailable
from lwmecps_core.integrations.runs import RunNews, RunRequest, completed, settings_of
from lwmecps_core.run_config import DQNConfig, EvaluateConfig, IMAMLConfig, MetaConfig, TrainConfig
from services.cli.processes import free_port
from services.common.remote_runs import REQUESTS, RemoteRuns


def test_settings_go_to_the_kind_of_run_or_to_its_algorithm_by_their_names() -> None:
    given = {"learning_rate": 0.01, "discount_factor": 0.9, "epsilon": 0.2, "total_episodes": 8}
    settings, algorithm = settings_of(RunRequest(tasks=("t",), algorithm="dqn", settings=given))
    assert settings == TrainConfig(total_episodes=8)
    assert algorithm == DQNConfig(learning_rate=0.01, discount_factor=0.9, epsilon=0.2)
    meta, _ = settings_of(RunRequest(tasks=("t",), kind="meta_train", settings={"method": "imaml", "proximal": 2.0}))
    assert isinstance(meta, MetaConfig) and meta.learner == IMAMLConfig(proximal=2.0)
    assert settings_of(RunRequest(tasks=("t",), kind="evaluate", settings={"episodes": 3})) == (
        EvaluateConfig(episodes=3),
        None,
    )


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"kind": "play"}, "kind: 'play' is none of train"),
        ({"algorithm": "a3c"}, "settings"),
        ({"settings": {"epsilon": 0.1}}, "epsilon"),
        ({"settings": {"learning_rate": -1}}, "learning_rate"),
        ({"kind": "evaluate", "settings": {"learning_rate": 0.1}}, "learning_rate"),
    ],
)
def test_what_can_not_be_run_is_refused_by_name(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        settings_of(RunRequest(tasks=("t",), **asked))


def test_there_is_a_request_for_every_kind_and_addresses_survive_pickling() -> None:
    assert sorted(REQUESTS) == ["adapt", "continual", "evaluate", "meta_train", "train", "transfer"]
    runs = RemoteRuns("127.0.0.1:1", "127.0.0.1:2", 3.0)
    assert runs._learner.address == "127.0.0.1:2"  # a connection was opened, and is not sent along
    assert pickle.loads(pickle.dumps(runs)) == runs
    with pytest.raises(InvalidInput, match="registry: 'nonsense' is no host:port"):
        RemoteRuns("nonsense")


def test_services_that_do_not_answer_are_given_up_and_named() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServiceUnavailable, match=nowhere):
        list(RemoteRuns(nowhere, nowhere, patience_s=0.0).follow("run-1"))


def test_a_run_that_failed_says_why() -> None:
    with pytest.raises(RunEnded, match="run r failed: out of luck"):
        completed(RunNews("r", "failed", error="out of luck"))


class _Told:
    """Runs that report what they are told to, and remember what was asked of them."""

    def __init__(self, *news: RunNews) -> None:
        self.news, self.said = news, list[str]()

    def start(self, asked: RunRequest) -> str:
        return "r"

    def follow(self, run_id: str, after_step: int = -1) -> Iterator[RunNews]:
        yield from self.news

    def pause(self, run_id: str) -> None:
        self.said.append("pause")

    def resume(self, run_id: str) -> None:
        self.said.append("resume")

    def cancel(self, run_id: str) -> None:
        self.said.append("cancel")


def _news(step: int, value: float, state: str = "running") -> RunNews:
    return RunNews("r", state, step, 3, {step: {"total_reward": value}})


@pytest.mark.parametrize("pruned", ["pause", "cancel"])
def test_a_pruned_trial_leaves_its_run_paused_or_ends_it(pruned: Any) -> None:
    optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")
    from lwmecps_core.integrations.optuna import objective

    runs = _Told(_news(1, -5.0), _news(2, float("nan")), _news(3, -4.0, "completed"))
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=-4.5))
    study.optimize(objective(runs, lambda trial: {"tasks": ["t"]}, pruned=pruned), n_trials=1)
    assert study.trials[0].state.name == "PRUNED" and runs.said == [pruned]
    assert study.trials[0].user_attrs == {"run_id": "r"}


def test_steps_without_a_number_prune_nothing_and_the_last_number_counts() -> None:
    optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")
    from lwmecps_core.integrations.optuna import objective

    runs = _Told(_news(1, -5.0), _news(2, float("nan")), _news(3, -4.0, "completed"))
    study = optuna.create_study(direction="maximize")
    study.optimize(objective(runs, lambda trial: {"tasks": ["t"]}), n_trials=1)
    assert study.trials[0].intermediate_values == {1: -5.0, 3: -4.0} and study.best_value == -4.0
    assert runs.said == []
