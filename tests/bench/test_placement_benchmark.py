"""The placement benchmark: jobs and their keys, an interrupted run, and figures that come from rows alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.placement import methods, report
from bench.placement.bars import bars
from bench.placement.jobs import BenchmarkJob, jobs
from bench.placement.measure import MeasuredRow
from bench.placement.results import collect
from bench.placement.run import Cache, carry_out
from bench.placement.settings import Settings, scaled
from bench.placement.view import META, TRANSFERS, ResultView, apart
from lwmecps_core.results import Row
from lwmecps_core.run_config import AdaptConfig, MetaConfig
from lwmecps_core.specs import FAMILIES
from lwmecps_core.tree import leaves

TINY = scaled(
    Settings(
        tasks=2,
        evaluation_episodes=1,
        meta=MetaConfig(meta_batch_size=2, episodes_per_step=1, adaptation_steps=1),
        adaptation=AdaptConfig(adaptation_steps=2, episodes_per_step=1, evaluation_episodes=1),
    ),
    0.0,
)


def job(name: str, settings: Settings = TINY) -> BenchmarkJob:
    return next(j for j in jobs(["mec_city"], settings) if j.name == name)


def test_every_meta_combination_and_transfer_type_has_a_job_on_every_family() -> None:
    found = {(j.family, j.name) for j in jobs(FAMILIES, Settings())}
    assert {(family, name) for family in FAMILIES for name in (*META, *TRANSFERS)} <= found
    assert len(META) == 16
    assert Settings().tasks >= 20


def test_a_key_follows_the_settings_of_the_job_and_of_those_before_it() -> None:
    longer = replace(TINY, multi_task=replace(TINY.multi_task, total_episodes=TINY.multi_task.total_episodes + 80))
    assert job("meta_ppo_maml").key == job("meta_ppo_maml").key
    assert job("meta_ppo_maml").key != job("meta_ppo_maml", longer).key
    assert job("transfer_fine_tuning").key == job("transfer_fine_tuning", longer).key


def test_jobs_come_after_those_that_they_go_on_from() -> None:
    seen: set[str] = set()
    for each in jobs(["mec_city", "load_profile"], Settings()):
        assert each.before is None or each.before.key in seen
        seen.add(each.key)


def test_meta_training_with_one_episode_for_each_step_stays_within_a_twentieth_of_the_data() -> None:
    frugal, alone = Settings().frugal, Settings().alone
    assert frugal.keep_start_if_worse and frugal.keep_placement_if_worse
    collections = frugal.adaptation_steps + 3  # the placement's, the start's without chance, the last check
    episodes = frugal.episodes_per_step * collections
    assert episodes <= 0.05 * alone.total_episodes


def test_transfer_measures_the_start_and_the_end_and_counts_the_data_of_the_target_alone() -> None:
    source = methods.run(job("source"), None)
    found = methods.run(job("transfer_domain_adaptation"), source).entries
    assert [(e.row.inner_steps, e.row.env_steps) for e in found] == [(0, 0)] * 2 + [(1, 4 * 120)] * 2
    assert [e.support_reward is None for e in found] == [True, True, False, False]
    assert found[0].row.wall_s == 0 < found[2].row.wall_s


def test_finished_jobs_are_not_done_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    rules = replace(job("rules"), baselines=("static",))
    ended: list[str] = []
    assert carry_out([rules], cache, 1, lambda j, error: ended.append(j.name + error)) == {}
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert carry_out([rules], cache, 1, lambda j, error: ended.append(j.name + error)) == {}
    assert ended == ["rules", "rules"]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_job_that_fails_takes_along_what_waits_for_it_and_nothing_else(tmp_path: Path) -> None:
    broken = replace(job("rules"), baselines=("no_such_rule",))
    after = replace(broken, name="after", before=broken)
    sound = replace(broken, name="sound", baselines=("static",))
    errors = carry_out([broken, after, sound], Cache(tmp_path), 1, lambda j, error: None)
    assert set(errors) == {broken.key, after.key}
    results = collect([broken, after, sound], Cache(tmp_path), TINY, errors)
    assert [f["job"] for f in results["failed"]] == ["mec_city rules", "mec_city after"]
    assert [row["method"] for row in results["rows"]] == ["static"]


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A result file of two tasks with the given rewards after no step and after the last, by method."""

    def make(seed: int = 1, **rewards: tuple[list[float], list[float], int]) -> dict[str, Any]:
        cache = Cache(tmp_path)
        made = []
        for name, (first, last, env_steps) in rewards.items():
            each = replace(job("rules"), name=name, seed=seed)
            entries = [
                {"row": vars(_row(name, steps, f"task-{k}", value, used)), "support_reward": value if steps else None}
                for steps, values, used in ((0, first, 0), (5, last, env_steps))
                for k, value in enumerate(values)
            ]
            cache.save(each, {"commit": "abc", "entries": entries, "env_steps": 0, "wall_s": 0.0, "took_s": 1.0}, {})
            made.append(each)
        return collect(made, cache, TINY, {})

    return make


def test_rows_have_the_demos_columns_the_family_and_every_tasks_reward(results: Any) -> None:
    rows = results(meta_ppo_maml=([-10.0, -20.0], [-9.0, -18.0], 2400))["rows"]
    row = rows[1]
    demo = (
        "method",
        "inner_steps",
        "reward_mean",
        "reward_ci95",
        "latency_mean_ms",
        "latency_p95_ms",
        "replicas_mean",
        "sla_miss_share",
        "moves_mean",
        "load_correlation",
        "env_steps",
        "wall_s",
    )
    assert set(demo) < set(row)
    assert (row["family"], row["inner_steps"], row["env_steps"]) == ("mec_city", 5, 2400)
    assert row["task_rewards"] == [-9.0, -18.0] == row["task_support_rewards"]
    view = ResultView(rows)
    gain = view.gain(view.rows[1])
    assert gain is not None and (row["reward_mean"], gain.mean, view.gain(view.rows[0])) == (-13.5, 1.5, None)


def test_bars_follow_from_the_rows(results: Any) -> None:
    known: dict[str, tuple[list[float], list[float], int]] = {
        "untrained_ppo": ([-50.0, -50.0], [-48.0, -48.0], 2400),
        "oracle": ([-10.0, -10.0], [-10.0, -10.0], 0),
        "static": ([-40.0, -40.0], [-40.0, -40.0], 0),
        "ppo_100_episodes": ([-50.0, -50.0], [-30.0, -30.0], 12_000),
        "meta_ppo_maml": ([-18.0, -20.0], [-12.0, -14.0], 600),
        "meta_ppo_fomaml": ([-20.0, -20.0], [-20.0, -21.0], 600),
    }
    found = {bar.demand: bar for bar in bars(ResultView(results(**known)["rows"]))}

    def met(text: str) -> tuple[str, bool]:
        bar = next(bar for demand, bar in found.items() if text in demand)
        return bar.figure, bar.met

    assert met("meta_ppo_maml, 5 inner steps: ≥ 85 % of the gap".replace("85 %", "85%")) == ("92.5%", True)
    assert met("not below ppo_100_episodes") == ("+17.00 ± 12.71", True)
    assert met("of the data of ppo_100_episodes") == ("5.0%", True)
    assert met("FOMAML behind MAML")[1] is False
    assert met("support episodes of meta_ppo_maml") == ("+27.00 ± 12.71", True)
    assert met("meta_ppo_maml improves")[1] is True
    assert met("meta_ppo_fomaml improves")[1] is False


def test_leaving_tasks_as_they_were_deployed_is_no_improvement_of_the_policy(results: Any) -> None:
    known = {
        "static": ([-40.0, -40.0], [-40.0, -40.0], 0),
        "meta_td3_maml": ([-50.0, -50.0], [-40.0, -40.0], 600),
        "meta_td3_reptile": ([-50.0, -30.0], [-40.0, -29.0], 600),
    }
    view = ResultView(results(**known)["rows"])
    assert view.left_alone("mec_city", "meta_td3_reptile").tolist() == [[True, False]]
    assert view.gains("meta_td3_reptile")[view.acting("meta_td3_reptile")].tolist() == [1.0]
    bar = next(bar for bar in bars(view) if bar.method == "meta_td3_maml" and bar.number == 4)
    assert bar.figure.startswith("+10.00 ± 0.00 over 2 tasks") and "over the 0 on which" in bar.figure and not bar.met


def test_what_ppo_learns_from_other_tasks_has_five_training_seeds_and_goes_on_from_its_own() -> None:
    found = [j for j in jobs(["mec_city"], Settings()) if j.seed > 1]
    assert {j.name for j in found} == {
        *("multi_task_ppo", "multi_task_ppo_equal_data", "multi_task_ppo_fine_tuned", "meta_ppo_maml_one_episode"),
        *("untrained_ppo", "random_weights_ppo", "source", *TRANSFERS),
        *(name for name in META if name.startswith("meta_ppo_")),
    }
    assert {j.seed for j in found} == {2, 3, 4, 5}
    assert all(j.before is None or j.before.seed == j.seed for j in found)
    keys = [j.key for j in jobs(["mec_city"], Settings())]
    assert len(set(keys)) == len(keys)


def test_another_training_seed_is_another_policy() -> None:
    found = [methods.run(replace(job("source"), seed=seed), None).handover for seed in (1, 1, 2)]
    first, again, other = (leaves(handover.policy.params) for handover in found if handover)
    assert all(map(torch.equal, first, again)) and not all(map(torch.equal, first, other))


def test_intervals_are_over_seeds_and_tasks_and_pair_both(results: Any) -> None:
    rules = results(static=([-40.0, -30.0], [-40.0, -30.0], 0))["rows"]
    seeds = [
        results(seed=seed, meta_ppo_maml=([-20.0 - seed, -10.0 - seed], [-18.0 - seed, -8.0 - seed], 600))["rows"]
        for seed in (1, 2, 3)
    ]
    view = ResultView([*rules, *(row for rows in seeds for row in rows)])
    last = view.last("mec_city", "meta_ppo_maml")
    assert last is not None and last["task_rewards"].shape == (3, 2) and last["reward_mean"] == -15.0
    one = ResultView(seeds[0]).last("mec_city", "meta_ppo_maml")
    assert one is not None and one["reward_ci95"] == pytest.approx(12.7062 * 5)  # Student's, one degree of freedom
    assert 5 <= last["reward_ci95"] <= 6.1  # two tasks ten apart, three seeds one apart each, both drawn again
    gain = view.gain(last)
    assert gain is not None and (gain.mean, gain.ci95) == (2.0, 0.0)
    over = view.over_static("mec_city", "meta_ppo_maml")
    assert over is not None and over.mean == 20.0 and 0 < over.ci95 <= 1.0  # tasks cancel, seeds do not
    bar = next(bar for bar in bars(view) if bar.number == 4)
    assert "over 2 tasks and 3 training seeds" in bar.figure


def test_seeds_that_only_one_of_two_methods_has_are_left_out_of_their_difference(results: Any) -> None:
    rows = []
    for seed, reward in ((1, -9.0), (2, -5.0), (3, -1.0)):
        rows += results(seed=seed, meta_ppo_maml=([reward] * 2, [reward] * 2, 6))["rows"]
    for seed, reward in ((1, -8.0), (3, -2.0)):
        rows += results(seed=seed, meta_ppo_fomaml=([reward] * 2, [reward] * 2, 6))["rows"]
    rows += results(oracle=([0.0] * 2, [0.0] * 2, 0))["rows"]
    view = ResultView(rows)
    maml, fomaml, oracle = (view.last("mec_city", name) for name in ("meta_ppo_maml", "meta_ppo_fomaml", "oracle"))
    assert maml and fomaml and oracle
    assert apart(maml, fomaml).tolist() == [[-1.0, -1.0], [1.0, 1.0]]
    assert apart(fomaml, maml).tolist() == [[1.0, 1.0], [-1.0, -1.0]]
    assert apart(maml, oracle).shape == (3, 2)
    assert list(bars(view))


def test_what_is_not_done_again_stays_in_the_file_unless_settings_changed(results: Any, tmp_path: Path) -> None:
    def methods_of(found: dict[str, Any]) -> list[tuple[str, float, int]]:
        report.write(found, tmp_path / "docs")
        rows = json.loads((tmp_path / "docs" / "benchmark.json").read_text())["rows"]
        return [(row["method"], row["reward_mean"], row["training_seed"]) for row in rows if row["inner_steps"] == 0]

    both = results(meta_ppo_maml=([-2.0] * 2, [-1.0] * 2, 6), static=([-4.0] * 2, [-4.0] * 2, 0))
    broken = {"job": "mec_city meta_ppo_maml, seed 2", "error": "no luck"}
    assert len(methods_of(both | {"failed": [broken]})) == 2
    assert (
        "- mec_city meta_ppo_maml, seed 2: not measured (no luck)." in (tmp_path / "docs" / "benchmark.md").read_text()
    )
    second = results(seed=2, meta_ppo_maml=([-3.0] * 2, [-1.0] * 2, 6))
    assert methods_of(second) == [("meta_ppo_maml", -2.0, 1), ("meta_ppo_maml", -3.0, 2), ("static", -4.0, 1)]
    assert "no luck" not in (tmp_path / "docs" / "benchmark.json").read_text()
    again = results(static=([-5.0] * 2, [-5.0] * 2, 0))
    assert methods_of(again) == [("meta_ppo_maml", -2.0, 1), ("meta_ppo_maml", -3.0, 2), ("static", -5.0, 1)]
    again["settings"]["tasks"] = 3
    assert methods_of(again) == [("static", -5.0, 1)]


def test_the_page_is_made_from_the_file_alone_and_twice_the_same(results: Any, tmp_path: Path) -> None:
    known = {
        "untrained_ppo": ([-50.0, -50.0], [-48.0, -48.0], 2400),
        "oracle": ([-10.0, -10.0], [-10.0, -10.0], 0),
        "static": ([-40.0, -40.0], [-40.0, -40.0], 0),
        "meta_ppo_maml": ([-18.0, -20.0], [-12.0, -14.0], 600),
        "meta_sac_reptile": ([-60.0, -61.0], [-60.0, -61.0], 600),
        "uniform": ([-14.254996] * 2, [-14.254996] * 2, 0),
        "hpa_calibrated": ([-20.0, -20.0], [-20.0, -20.0], 0),
        "dqn_100_episodes": ([-50.0, -50.0], [-36.0, -31.0], 12_000),
        "ppo_100_episodes": ([-50.0, -50.0], [-30.0, -30.0], 12_000),
    }
    report.write(results(**known), tmp_path / "first")
    report.write(json.loads((tmp_path / "first" / "benchmark.json").read_text()), tmp_path / "second")
    for name in ("benchmark.json", "benchmark.md"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    page = (tmp_path / "first" / "benchmark.md").read_text()
    assert "| 5 | mec_city: dqn_100_episodes behind ppo_100_episodes by ≤ 2 | -3.50 ± 31.77 | **no** |" in page
    assert "Ahead on 0 of 2 tasks; the fifth on which it is farthest behind makes up 86% of the difference." in page
    assert (
        "| 6 | meta_sac_reptile: its unadapted start is not below hpa_calibrated on ≥ 3 families | 0 of 1: -40.5 |"
        in page
    )
    assert "| 7 | meta_sac_reptile leaves ≤ 15% of the tasks as they were deployed | 0% | yes |" in page
    assert "Tasks that meta-learners left as they were deployed in the end: ppo 0%, sac 0%." in page
    assert "| meta_ppo_maml | 5 | -13.00 ± 12.71 |  | +6.00 ± 0.00* | 92% |" in page
    assert "On 100% of the tasks the reward is exactly that of the start" in page
    for picture in ("reward", "adaptation", "gains", "support"):
        assert (tmp_path / "second" / "benchmark" / f"{picture}.png").stat().st_size > 0


def _row(method: str, steps: int, task: str, reward: float, env_steps: int) -> Row:
    return MeasuredRow(
        Row(
            task=task,
            method=method,
            inner_steps=steps,
            reward=reward,
            latency_mean_ms=1.0,
            latency_p95_ms=2.0,
            replicas_mean=3.0,
            sla_miss_share=0.1,
            moves_mean=0.0,
            load_correlation=0.5,
            env_steps=env_steps,
        )
    ).row
