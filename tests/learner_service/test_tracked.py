"""What trackers are told about a run."""

import json
from dataclasses import fields

import pytest

from lwmecps_core.kinds import KINDS
from lwmecps_core.run_config import AdaptConfig, DiscoConfig, DQNConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from services.common.run_labels import of_sweep
from services.common.run_spec import RunSpec
from services.learner_service.jobs import Job
from services.learner_service.tracked import tracked_run

CITIES = [TaskDistribution(), TaskDistribution(family="load_balancing", env_id="lwmecps-v4")]


def test_a_run_is_told_with_all_that_decides_its_result() -> None:
    spec = RunSpec(
        settings=TrainConfig(total_episodes=8),
        task_ids=("task-a", "task-b"),
        label="paper",
        seed=7,
        num_tasks=3,
        task_seed=5,
        algorithm=DQNConfig(),
    )
    run = tracked_run(Job("run-1", 1, spec), CITIES)
    told = run.settings
    assert (told["seed"], told["task_ids"], told["num_tasks"], told["task_seed"]) == (7, ["task-a", "task-b"], 3, 5)
    assert (told["family"], told["environment"]) == ("load_balancing, mec_city", "lwmecps-v3, lwmecps-v4")
    assert (told["total_episodes"], told["algorithm"]["name"]) == (8, "dqn")
    assert {"lwmecps", "python", "torch"} <= set(told["versions"])
    assert (run.group, run.job_type, run.name) == ("paper", "train", "paper")
    assert run.tags == ("train", "dqn", "lwmecps-v3", "lwmecps-v4", "load_balancing", "mec_city")
    json.dumps(told)


def test_the_file_of_a_rule_is_told_as_its_digest() -> None:
    run = tracked_run(Job("run-1", 1, RunSpec(settings=TrainConfig(), algorithm=DiscoConfig(rule=b"weights"))), CITIES)
    assert run.settings["algorithm"]["rule"].startswith("sha256:")
    json.dumps(run.settings)


def test_runs_without_a_label_are_grouped_by_kind_and_name_their_policy() -> None:
    run = tracked_run(Job("run-2", 1, RunSpec(settings=AdaptConfig(), policy_id="policy-1")), CITIES[:1])
    assert (run.group, run.name, run.settings["policy"]) == ("adapt", "run-2", "policy-1")


def test_of_a_file_in_the_settings_a_digest_is_told() -> None:
    run = tracked_run(Job("run-4", 1, RunSpec(settings=AdaptConfig(optimiser=b"x"))), [])
    assert run.settings["optimiser"] == "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_a_run_that_a_sweep_asked_for_is_told_with_what_the_agent_said_of_it() -> None:
    labels = of_sweep({"WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "abc", "HOME": "/"})
    run = tracked_run(Job("run-3", 1, RunSpec(settings=TrainConfig()), labels=labels), [])
    assert (run.id, run.sweep, run.sweep_run) == ("run-3", "s1", "abc")
    assert of_sweep({"WANDB_RUN_ID": "abc"}) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_no_setting_has_the_name_of_a_fact(kind: str) -> None:
    spec = RunSpec(settings=KINDS[kind].settings())
    facts = len(tracked_run(Job("r", 1, RunSpec(settings=AdaptConfig())), []).settings) - len(fields(AdaptConfig))
    assert len(tracked_run(Job("r", 1, spec), []).settings) == (
        facts + len(fields(spec.settings)) + (spec.learns_by is not None)
    )
