"""The context benchmark: its cells, what it measures, what it keeps, and its page."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.context import measure, report
from bench.context.bars import bars
from bench.context.cells import ADAPTED, ALONE, Cell, ClusterKind, cells
from bench.context.results import CellOutcome, Found
from bench.context.view import At, Evidence
from bench.doing import read, write
from lwmecps_core.errors import InvalidInput
from lwmecps_core.run_config import FOMAMLConfig, MetaConfig, PPOConfig, TrainConfig
from lwmecps_core.specs import FAMILIES
from lwmecps_core.statistics import Bootstrap, holm


def test_cells_cover_what_the_page_promises() -> None:
    every = cells(FAMILIES, 64)
    assert len({cell.key for cell in every}) == len(every)
    seeds = {
        (c.problem.title, c.method): sum(x.problem == c.problem and x.method == c.method for x in every) for c in every
    }
    assert seeds["mec_city v3, 4 × 4", "context"] == seeds["load_profile v3, 4 × 4", ADAPTED] == 5
    assert seeds["kubernetes_scaling v4, 4 × 4", "blind"] == 3
    (sizes,) = {c.also for c in every if c.problem == ClusterKind(family="mec_city") and c.method == "context"}
    assert [(p.nodes, p.deployments) for p in sizes] == [(3, 6), (8, 8)]
    learnt = [c.training for c in every if c.method in ("context", "multi_task", "blind", "privileged")]
    equal = {(t.total_episodes, t.episodes_per_batch, t.tasks_per_batch, t.schedule) for t in learnt}  # type: ignore[union-attr]
    assert len(equal) == 1


def test_a_key_follows_every_setting() -> None:
    cell = cells(("mec_city",), 4)[0]
    others = [replace(cell, tasks=5), replace(cell, seed=9), replace(cell, problem=ClusterKind(family="load_profile"))]
    assert len({cell.key, *(x.key for x in others)}) == 4


def _tiny(method: str, **more: object) -> Cell:
    found = next(c for c in cells(("mec_city",), 3) if c.method == method)
    small = {"problem": ClusterKind(family="mec_city", nodes=2, deployments=2), "also": ()}
    return replace(found, **(small | more))  # type: ignore[arg-type]


def test_learners_and_rules_are_measured_on_the_same_tasks(tmp_path: Path) -> None:
    ppo, few = PPOConfig(hidden_size=(4, 4)), TrainConfig(total_episodes=4, episodes_per_batch=2, tasks_per_batch=2)
    meta = MetaConfig(
        learner=FOMAMLConfig(), meta_batch_size=2, episodes_per_step=2, num_meta_epochs=1, adaptation_steps=1
    )
    one = ClusterKind(family="mec_city", nodes=3, deployments=2)
    every = [
        _tiny("context", algorithm=replace(ppo, context="statistics"), training=few, also=(one,)),
        _tiny("blind", algorithm=ppo, training=few),
        _tiny(ADAPTED, algorithm=ppo, training=meta),
        _tiny("rules", baselines=("static", "hpa_calibrated", "oracle")),
        _tiny(ALONE, algorithm=ppo, training=replace(few, tasks_per_batch=1, independent=True, evaluation_episodes=4)),
    ]
    outcomes = {cell.key: measure.run(cell) for cell in every}
    view = Evidence(every[0].problem, every, outcomes)
    titles = {at.title for at in view.every()}
    assert {"context(1)", "context(2)", "context(5)", "context_fine_tuned, 5 steps", "blind", "unadapted"} <= titles
    assert {"adapted, 5 steps", "scratch, 5 steps", "oracle"} <= titles
    assert [(at.inner_steps, at.episode) for at in view.of(ALONE)] == [(0, 5)]
    assert (view.rewards(At("oracle")) >= view.rewards(At("static")) - 1e-6).all()
    assert [at.episode for at in Evidence(one, every, outcomes).of("context")] == [1, 2, 5]

    write(outcomes, tmp_path / "context.json")
    again = read(CellOutcome, tmp_path / "context.json")
    assert again.keys() == outcomes.keys()
    assert again[every[0].key].found[0].rewards == outcomes[every[0].key].found[0].rewards
    report.write(every, again, tmp_path)
    page = (tmp_path / "context.md").read_text()
    assert "## mec_city v3, 2 × 2" in page and "| context(2) |" in page
    assert (tmp_path / "context" / "differences.png").stat().st_size > 10_000


def test_a_broken_file_of_results_is_named(tmp_path: Path) -> None:
    path = tmp_path / "context.json"
    path.write_text('{"x": {"found": [{"method": 3}]}}')
    with pytest.raises(InvalidInput, match=r"context\.json"):
        read(CellOutcome, path)
    assert read(CellOutcome, tmp_path / "none.json") == {}


def _found(method: str, rewards: np.ndarray, episode: int = 1, steps: int = 0) -> CellOutcome:
    problem = ClusterKind(family="mec_city")
    rows = tuple(float(x) for x in rewards)
    return CellOutcome(
        found=[
            Found(
                problem=problem, method=method, inner_steps=steps, episode=episode, rewards=rows, support_reward=None,
                latency_ms=1.0, replicas=1.0, sla_miss=0.0, moves=0.0,
            )
        ]
    )  # fmt: skip


def _views(ahead: float) -> dict[ClusterKind, Evidence]:
    """A context that is `ahead` of the told policy on 60 tasks and 4 training seeds."""
    rng = np.random.default_rng(1)
    hard, problem = rng.normal(-20, 8, 60), ClusterKind(family="mec_city")
    every, outcomes = [], {}
    means = {"context": ahead, "multi_task": 0.0, "blind": -2.0, "hpa_calibrated": -8.0, "oracle": 4.0, ALONE: 0.5}
    for method, mean in means.items():
        for seed in range(4 if method not in ("hpa_calibrated", "oracle", ALONE) else 1):
            cell = Cell(problem=problem, method=method, seed=seed)
            every.append(cell)
            outcomes[cell.key] = _found(method, hard + mean + rng.normal(0, 0.5, 60))
    return {problem: Evidence(problem, every, outcomes)}


def test_bars_are_met_only_where_they_are() -> None:
    good, bad = ({bar.demand: bar for bar in bars(_views(ahead))} for ahead in (1.0, 0.0))
    told = next(demand for demand in good if "over `multi_task`" in demand)
    assert good[told].met and not bad[told].met
    blind = next(demand for demand in good if "over `blind`" in demand)
    assert good[blind].met and bad[blind].met
    tails = next(demand for demand in good if "below `hpa_calibrated`" in demand)
    assert good[tails].met
    anew = next(demand for demand in good if f"below `{ALONE}` on no family" in demand)
    assert good[anew].met and not bad[anew].met


def test_intervals_grow_with_what_seeds_differ_by() -> None:
    rng, bootstrap = np.random.default_rng(0), Bootstrap(50)
    tasks = rng.normal(0, 10, 50)
    same = np.stack([tasks + rng.normal(0, 0.1, 50) for _ in range(5)])
    apart = same + np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None]
    other = tasks[None] - 0.5
    narrow, wide = bootstrap.compared(same, other), bootstrap.compared(apart, other)
    assert narrow.mean == pytest.approx(wide.mean) == pytest.approx(0.5, abs=0.05)
    assert 0 < narrow.low < narrow.high < 0.6 and narrow.p < 0.01  # tasks are paired: their spread of 10 drops out
    assert wide.low < 0 < wide.high and wide.p > 0.05


def test_a_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    rng, hits, trials = np.random.default_rng(3), 0, 200
    for seed in range(trials):
        rewards = rng.normal(0, 1, (8, 1)) + rng.normal(0, 2, (1, 40)) + rng.normal(0, 1, (8, 40))
        found = Bootstrap(40, draws=500, seed=seed).compared(rewards, np.zeros((1, 40)))
        hits += found.low <= 0 <= found.high
    assert 0.86 <= hits / trials <= 0.995  # 8 seeds: a little short of 95 %


def test_holm_allows_fewer_the_more_are_compared() -> None:
    assert holm([0.01, 0.04]) == [True, True]
    assert holm([0.03, 0.04]) == [False, False]
    assert holm([0.04, 0.001, 0.03]) == [False, True, False]
    assert holm([]) == []


def test_it_runs_as_a_command_and_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.context", "--out", str(tmp_path), "--processes", "1", "--tasks", "1"]
    command += ["--families", "kubernetes_scaling", "--env-ids", "lwmecps-v3", "--methods", "rules"]
    first, second = (subprocess.run(command, capture_output=True, text=True, timeout=300) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stdout + first.stderr
    assert "1/1" in first.stdout and "0 to do" in second.stdout
    (outcome,) = read(CellOutcome, tmp_path / "context.json").values()
    assert outcome.commit
    other = subprocess.run([*command, "--tasks", "2"], capture_output=True, text=True, timeout=300)
    assert other.returncode == 0 and len(read(CellOutcome, tmp_path / "context.json")) == 2  # what is done stays


def test_settings_that_came_later_lose_no_result_that_is_kept() -> None:
    kept = read(CellOutcome, Path(__file__).parents[2] / "docs" / "context.json")
    assert kept and set(kept) <= {cell.key for cell in cells(FAMILIES, 64)}
