"""The benchmark of streams and the toy of validation: what they measure, how they are kept, and their tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import doing
from bench.learners import streams, streams_measure, streams_report
from bench.learners.streams import BOTH, KEEPING, NO_STEP, NOTHING, Stream, StreamOutcome, cells
from bench.validation import continual as toy
from bench.validation.results import table_of_streams
from lwmecps_core.baselines.run import run_baseline


def test_every_seed_has_a_stream_of_its_own_that_all_ways_meet() -> None:
    every = cells()
    assert len({c.key for c in every}) == len(every) == 5
    names = [[task.name for task in streams_measure.stream(cell)] for cell in every]
    assert all(len(set(own)) == 10 for own in names) and len({name for own in names for name in own}) == 50
    assert every[0].ways == tuple(KEEPING.items())
    same = {(cfg.episodes_per_cluster, cfg.tasks_per_batch, cfg.evaluation_episodes) for cfg in KEEPING.values()}
    assert len(same) == 1  # no way has more data


def test_a_small_stream_is_measured_kept_and_shown(tmp_path: Path) -> None:
    ways = tuple(
        (name, replace(KEEPING[name], episodes_per_cluster=4, evaluation_episodes=1)) for name in (NO_STEP, BOTH)
    )
    small = [
        replace(
            cell,
            rounds=1,
            families=("mec_city", "load_balancing"),
            algorithm=replace(cell.algorithm, hidden_size=(4, 4)),
            training=replace(cell.training, total_episodes=2, episodes_per_batch=1, tasks_per_batch=1),
            ways=ways,
        )
        for cell in cells(2)
    ]
    doing.write({cell.key: streams_measure.run(cell) for cell in small}, tmp_path / "streams.json")
    again, page = doing.read(StreamOutcome, tmp_path / "streams.json"), tmp_path / "learners.md"
    page.write_text("<!-- streams -->\nold\n<!-- end -->\nrest\n")
    streams_report.write(small, again, page)
    text = page.read_text()
    assert "of its own: 2 of 2." in text and "old" not in text and text.endswith("rest\n")
    both = [np.array(again[cell.key].streams[1].r) for cell in small]
    assert all(r.shape == (3, 2) for r in both)
    row = next(line for line in text.splitlines() if line.startswith(f"| {BOTH} |"))
    start, end = (", ".join(f"{r[i].mean():.2f}" for r in both) for i in (0, 2))
    assert f"| {start} | {end} |" in row


def test_differences_are_paired_over_seeds() -> None:
    rng = np.random.default_rng(0)
    flat = [np.tile(rng.normal(-20, 5, 3), (4, 1)) for _ in range(4)]
    better = [r + np.array([0.0, 1.0, 1.0, 1.0])[:, None] for r in flat]
    lines = list(streams_report.table({NO_STEP: flat, NOTHING: better}))
    assert lines[-1].endswith("| +1.00 ± 0.00* |  |") and lines[-2].endswith("|  | -1.00 ± 0.00* |")


def test_the_page_is_as_it_was_where_nothing_is_done(tmp_path: Path) -> None:
    page = tmp_path / "learners.md"
    page.write_text("<!-- streams -->\n<!-- end -->\n")
    streams_report.write(streams.cells(), {}, page)
    assert "0 of 5" in page.read_text()


def test_outcomes_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept = {"a": StreamOutcome(streams=(Stream(keeping=NO_STEP, r=((-1.0, -2.0), (-1.5, -2.0)), cpu_s=1.0),))}
    doing.write(kept, tmp_path / "streams.json")
    assert doing.read(StreamOutcome, tmp_path / "streams.json") == kept


def test_the_clusters_of_the_toy_contradict_each_other() -> None:
    tasks = toy.contradicting()
    none, most = (
        [float(b.reward.sum(0).mean()) for b in run_baseline(name, tasks, (1, 1), 2)] for name in ("random", "static")
    )
    assert all(-8.0 <= reward <= 0.0 for reward in (*none, *most))
    free, dear = (task.objective for task in tasks)
    assert (free.sla, free.replicas, dear.sla, dear.replicas) == (1.0, 0.0, 0.0, 1.0)
    assert free.latency == dear.latency == free.imbalance == dear.imbalance == free.moves == dear.moves == 0.0


def test_the_table_of_the_toy_leaves_out_what_no_stream_has() -> None:
    value = {"mean": -1.0, "ci95": 0.5}
    text = table_of_streams(
        [{"name": "a", "average_reward": value, "forgetting": value}, {"name": "b", "average_reward": value}]
    )
    assert text.splitlines()[0] == "|  | average reward | forgetting |"
    assert text.splitlines()[-1] == "| b | -1 ± 0.5 |  |"


@pytest.mark.parametrize("way", list(toy.WAYS))
def test_every_way_of_the_toy_has_as_many_episodes(way: str) -> None:
    _, cfg = toy.WAYS[way]
    assert (cfg.episodes_per_cluster, cfg.episodes_per_batch, cfg.tasks_per_batch) == (400, 4, 4)
