"""Runs in this process: the loops that learners drive, with settings by name, and what they leave."""

from pathlib import Path
from typing import Any

import pytest
import torch

import lwmecps_core
from lwmecps_core import training
from lwmecps_core.errors import InvalidInput
from lwmecps_core.face.outcome import RunOutcome
from lwmecps_core.reporting.page import Reported, page
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import PPOConfig, TrainConfig
from lwmecps_core.specs import TaskDistribution
from tests.face.conftest import EXAMPLES

CITY = EXAMPLES / "city.yaml"


def test_a_run_is_the_learners_loop() -> None:
    city = TaskDistribution(nodes=2, deployments=2, horizon=10)
    ours = lwmecps_core.train(city, total_episodes=8, learning_rate=1e-3, seed=3)
    torch.set_num_threads(1)
    *_, last = training.train(
        city, PPOConfig(learning_rate=1e-3), TrainConfig(total_episodes=8), LocalCollector(), seed=3
    )
    assert ours.policy is not None and last.policy is not None
    for group, net in last.policy.params.items():
        for name, x in net.items():
            assert torch.equal(x, ours.policy.data.params[group][name])


def test_settings_of_run_and_algorithm_are_told_apart_by_name() -> None:
    done = lwmecps_core.train(CITY, {"name": "ppo", "gamma": 0.9}, total_episodes=4, gae_lambda=0.5)
    assert done.policy is not None
    cfg = done.policy.data.algorithm
    assert (cfg.discount_factor, cfg.gae_lambda) == (0.9, 0.5)  # type: ignore[union-attr]
    assert list(done.frame().index) == [1]


def test_the_process_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        lwmecps_core.evaluate("static", CITY, num_tasks=1, episodes=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_is_shown_when_it_is_asked_for(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    lwmecps_core.evaluate("static", CITY, num_tasks=1, episodes=1, label="left", progress=shown)
    said = capsys.readouterr()
    assert ("left: 100%" in said.err) is shown and not said.out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lwmecps_core.train(CITY, nope=3), "train: nope"),
        (lambda: lwmecps_core.train(CITY, "nope"), "algorithm: .*'nope'"),
        (lambda: lwmecps_core.train(CITY, {"gamma": 1}), "algorithm: name: is missing"),
        (lambda: lwmecps_core.train(CITY, total_episodes=0), "train: total_episodes"),
        (lambda: lwmecps_core.train(CITY, seed="x"), "seed: must be an integer"),
        (lambda: lwmecps_core.train(CITY, num_tasks=-1), "num_tasks: must be a whole number"),
        (lambda: lwmecps_core.train("missing.yaml"), "missing.yaml: .*not readable"),
        (lambda: lwmecps_core.train([]), "task_ids: at least one task"),
        (lambda: lwmecps_core.train(7), "tasks: .*must be tasks, not int"),
        (lambda: lwmecps_core.meta_train(CITY, method="x"), "method: 'x' is none of maml"),
        (lambda: lwmecps_core.evaluate("hpa", CITY), "num_tasks: must be set"),
        (lambda: lwmecps_core.make_env(CITY, env_id="v9"), "env_id: 'v9' is none of"),
        (lambda: lwmecps_core.make_vec(CITY, 0), "num_envs: must be a whole number"),
        (lambda: lwmecps_core.load_task(CITY, seed="a"), "seed: must be an integer"),
    ],
)
def test_what_can_not_be_used_is_named(call: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()


def test_runs_on_real_clusters_are_left_to_the_services(trained: RunOutcome) -> None:
    with pytest.raises(InvalidInput, match="backend: must be simulated"):
        lwmecps_core.adapt(trained.policy, CITY, num_tasks=1, backend="kubernetes")


@pytest.mark.parametrize(
    ("ending", "begins"), [(".csv", b"task,method,"), (".json", b"["), (".tex", b"\\begin{tabular}")]
)
def test_rows_are_written_as_the_ending_says(measured: RunOutcome, tmp_path: Path, ending: str, begins: bytes) -> None:
    assert measured.save(tmp_path / "new" / f"rows{ending}").read_bytes().startswith(begins)


def test_parquet_holds_the_frame(measured: RunOutcome, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    read = pandas.read_parquet(measured.save(tmp_path / "rows.parquet"))
    assert read.reward.tolist() == [row.reward for row in measured.rows]


def test_an_unknown_ending_is_refused_with_those_that_are_known(measured: RunOutcome, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'\.doc' is none of \.csv, "):
        measured.save(tmp_path / "rows.doc")


@pytest.mark.parametrize("what", ["", "rewards", "adaptation", "curves", "day"])
def test_every_picture_is_drawn_and_saved_twice(measured: RunOutcome, tmp_path: Path, what: str) -> None:
    measured.plot(what).save(tmp_path / "new" / "picture")
    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "new" / "picture.svg").read_text()


def test_a_stream_is_shown_as_its_matrix(trained: RunOutcome, tmp_path: Path) -> None:
    met = lwmecps_core.continual(trained.policy, CITY, num_tasks=2, episodes_per_cluster=4, evaluation_episodes=1)
    assert [(row.inner_steps, row.method) for row in met.rows] == [(i, "ppo continued") for i in (0, 0, 1, 1, 2, 2)]
    first, second = (row.reward for row in met.rows[-2:])
    header, *_, last = met.table("markdown").splitlines()
    assert header == "| met | 1 | 2 | average | own turn | to come | backward | forgetting | forward |"
    assert last.startswith(f"| 2 | {first:.2f} | {second:.2f} | {(first + second) / 2:.2f} |")
    assert f"({met.rows[1].reward:.2f})" in met.table() and "(" not in last  # in brackets before it was met
    met.plot().save(tmp_path / "stream.png")
    assert (tmp_path / "stream.png").read_bytes().startswith(b"\x89PNG")
    whole = page("a page", [Reported("mine", {"kind": "continual"}, met.rows, met.metrics)])
    assert "Clusters one after another: mine" in whole and "<h2>Adaptation</h2>" not in whole
    assert f"<td>{first:.2f}</td>" in whole


def test_the_same_results_make_the_same_picture(measured: RunOutcome) -> None:
    assert measured.plot().svg() == measured.plot().svg()


def test_a_picture_of_what_was_not_left_is_refused(trained: RunOutcome) -> None:
    with pytest.raises(InvalidInput, match="'day' is none of what this run has left: curves"):
        trained.plot("day")


def test_outcomes_are_compared_task_by_task(measured: RunOutcome) -> None:
    rule = lwmecps_core.evaluate("rate_rule", CITY, num_tasks=3, episodes=2)
    both = lwmecps_core.compare(measured, rule=rule)
    best, other = both.summaries
    assert best.reward_mean > other.reward_mean and both.base[0] == "hpa"
    text, rewards = both.table(), {(r.method, r.task): r.reward for r in both.rows}
    gain = sum(rewards["rule", r.task] - rewards["hpa", r.task] for r in measured.rows) / 3
    assert "− hpa" in text and f"{gain:+.2f} ±" in text
    assert both.frame().method.unique().tolist() == ["hpa", "rule"]
    assert "<table>" in both._repr_html_() and "| rule |" in both.table("markdown")


def test_what_can_not_be_compared_is_refused(measured: RunOutcome, trained: RunOutcome) -> None:
    others = lwmecps_core.evaluate("static", CITY, num_tasks=3, task_seed=9, episodes=1)
    for outcomes, message in (
        ((), "give at least one outcome"),
        ((trained,), "has measured nothing"),
        ((measured, measured), "hpa is there already"),
        ((measured, others), "that are not those of hpa"),
        ((measured, "x"), "must be an outcome of a run, not str"),
    ):
        with pytest.raises(InvalidInput, match=message):
            lwmecps_core.compare(*outcomes)
    with pytest.raises(InvalidInput, match="base: 'z' is none of hpa"):
        lwmecps_core.compare(measured, base="z")
