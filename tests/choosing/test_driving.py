"""A population over runs: whom it starts from, what it keeps, and that going on from there changes nothing."""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from lwmecps_core.choosing.driving import REWARD, evolve
from lwmecps_core.choosing.population import Generation, Population, PopulationPlan, begun, best_of
from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput, RunEnded
from lwmecps_core.integrations.local_runs import LocalRuns
from lwmecps_core.integrations.runs import RunNews, RunRequest
from lwmecps_core.specs import TaskDistribution

PLAN: dict[str, Any] = {
    "tasks": ["t"],
    "numbers": {"learning_rate": {"low": 0.01, "high": 0.5}},
    "members": 4,
    "generations": 5,
    "episodes": 3,
}


def plan(**given: Any) -> PopulationPlan:
    made: PopulationPlan = parse(PopulationPlan, {**PLAN, **given}, "plan")
    return made


@dataclass
class FoldedRuns:
    """Runs on a weight θ that begins at 1: training takes `learning_rate` of it away, and its reward is −θ.

    What each comes to is kept in a folder under its request's name, in the order in which they were asked for.
    `dies_at` is how many are made before this process dies, `fails` names those that fail, `ends` how others end.
    """

    folder: Path
    dies_at: int | None = None
    fails: tuple[str, ...] = ()
    ends: str = "completed"

    def start(self, asked: RunRequest) -> str:
        name = asked.request_id.split("-", 2)[2]
        if not (self.folder / name).exists():
            if self.dies_at is not None and len(list(self.folder.iterdir())) == self.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            start = json.loads((self.folder / asked.policy).read_text())["θ"] if asked.policy else 1.0
            told = {"θ": start, "seed": asked.seed, "from": asked.policy, "reward": -start}
            if asked.kind == "train":
                told["θ"] = start * (1.0 - asked.settings["learning_rate"])
            (self.folder / name).write_text(json.dumps(told))
        return name

    def follow(self, run_id: str, after_step: int = -1) -> Iterator[RunNews]:
        if run_id in self.fails:
            yield RunNews(run_id, "failed", error="out of luck")
            return
        told = json.loads((self.folder / run_id).read_text())
        yield RunNews(run_id, "running", 0, 1)
        yield RunNews(run_id, self.ends, 1, 1, {1: {REWARD: told["reward"]}}, run_id)

    def pause(self, run_id: str) -> None: ...

    def resume(self, run_id: str) -> None: ...

    def cancel(self, run_id: str) -> None: ...


def test_members_go_on_from_their_own_policy_or_from_the_one_that_they_take_over(tmp_path: Path) -> None:
    given, runs, told = plan(), FoldedRuns(tmp_path), list[tuple[int, int, int]]()
    whole = list(evolve(given, runs, told=lambda g, m, news: told.append((g, m, news.step))))
    assert len(whole) == 5 and all(len(generation) == 4 for generation in whole)
    assert whole[0] == tuple(
        replace(m, run=f"0-{i}-train", policy=f"0-{i}-train", measured_by=f"0-{i}-evaluate", score=whole[0][i].score)
        for i, m in enumerate(begun(given))
    )
    for before, after in pairwise(whole):
        order = sorted(range(4), key=lambda i: -(before[i].score or 0.0))
        for i, member in enumerate(after):
            assert member.parent == (order[0] if i == order[-1] else i)
            assert member.start == before[member.parent].policy
            kept = (1.0 - member.values["learning_rate"]) * -(before[member.parent].score or 0.0)
            assert member.score == pytest.approx(-kept)
    best = whole[-1][best_of(whole[-1])]
    assert best.score == max(m.score or -9.0 for m in whole[-1])
    seeds = [json.loads((tmp_path / m.run).read_text())["seed"] for generation in whole for m in generation]
    assert len(set(seeds)) == 20
    assert {(g, m) for g, m, _ in told} == {(g, m) for g in range(5) for m in range(4)}


def test_one_that_goes_on_from_what_was_kept_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    undisturbed = list(evolve(plan(), FoldedRuns(tmp_path / "a")))
    first: Generation = next(evolve(plan(), FoldedRuns(tmp_path / "b")))
    kept = parse(Population, json.loads(json.dumps(dump(Population(plan=plan(), generations=(first,))))), "state")
    rest = list(evolve(kept.plan, FoldedRuns(tmp_path / "b"), kept.generations))
    assert [first, *rest] == undisturbed
    assert list(evolve(plan(), FoldedRuns(tmp_path / "b"), undisturbed)) == []


@pytest.mark.parametrize("made", [0, 3, 6, 9, 21])
def test_a_driver_that_is_killed_starts_nothing_twice_and_changes_nothing(tmp_path: Path, made: int) -> None:
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    undisturbed = list(evolve(plan(), FoldedRuns(folders[0])))
    state = tmp_path / "state.json"
    dying = multiprocessing.get_context("fork").Process(target=_drive, args=(state, folders[1], made))
    dying.start()
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL and len(list(folders[1].iterdir())) == made
    _drive(state, folders[1], None)
    assert parse(Population, json.loads(state.read_text()), "state").generations == tuple(undisturbed)
    assert {p.name: p.read_text() for p in folders[1].iterdir()} == {
        p.name: p.read_text() for p in folders[0].iterdir()
    }


def _drive(state: Path, folder: Path, dies_at: int | None) -> None:
    """Drive the population from what the file holds, and keep every generation there."""
    kept = parse(Population, json.loads(state.read_text()), "state") if state.exists() else Population(plan=plan())
    for generation in evolve(kept.plan, FoldedRuns(folder, dies_at), kept.generations):
        kept = replace(kept, generations=(*kept.generations, generation))
        state.write_text(json.dumps(dump(kept)))


def test_a_member_that_fails_takes_over_from_the_best_and_the_others_go_on(tmp_path: Path) -> None:
    fails = ("0-2-train", "1-0-evaluate")
    first, second, third, *_ = evolve(plan(), FoldedRuns(tmp_path, fails=fails))
    assert first[2].score is None and first[2].error == "out of luck" and first[2].measured_by == ""
    assert second[2].parent == best_of(first) and [m.parent for m in second if m.parent != best_of(first)]
    assert second[0].score is None and second[0].policy and third[0].parent == best_of(second)


def test_where_nobody_is_left_or_somebody_cancelled_the_population_ends_and_says_why(tmp_path: Path) -> None:
    every = tuple(f"0-{i}-train" for i in range(4))
    with pytest.raises(RunEnded, match="generation 1: every member failed, the first since out of luck"):
        next(evolve(plan(), FoldedRuns(tmp_path, fails=every)))
    with pytest.raises(RunEnded, match="run 0-0-train cancelled"):
        next(evolve(plan(), FoldedRuns(tmp_path, ends="cancelled")))


def test_a_reward_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    class Lost(FoldedRuns):
        def follow(self, run_id: str, after_step: int = -1) -> Iterator[RunNews]:
            metrics = {} if run_id == "0-1-evaluate" else {1: {REWARD: -1.0}}
            yield RunNews(run_id, "completed", 1, 1, metrics, run_id)

    first = next(evolve(plan(), Lost(tmp_path)))
    assert [m.score for m in first] == [-1.0, None, -1.0, -1.0] and "is no number" in first[1].error


def test_what_decides_which_weights_there_are_is_no_number_to_vary(tmp_path: Path) -> None:
    bins = {"bins": {"low": 2, "high": 9, "whole": True}}
    with pytest.raises(InvalidInput, match=r"numbers.bins: decides what weights there are"):
        next(evolve(plan(algorithm="q_learning", numbers=bins), FoldedRuns(tmp_path)))
    rate = {"learning_rate": {"low": 0.01, "high": 0.5}}
    for algorithm in ("q_learning", "td3", "sac"):
        assert next(evolve(plan(algorithm=algorithm, numbers=rate), FoldedRuns(tmp_path)))
    wide = {"memory_width": {"low": 4, "high": 8, "whole": True}}
    with pytest.raises(InvalidInput, match=r"numbers.memory_width"):
        settings = {"context": "recurrent", "cell": "ntm"}
        next(evolve(plan(numbers=wide, settings=settings), FoldedRuns(tmp_path)))


CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=4, horizon=20)
REAL: dict[str, Any] = {
    "tasks": ["city"],
    "settings": {"hidden_size": [4], "schedule": "linear"},
    "numbers": {"learning_rate": {"low": 1e-4, "high": 1e-2}},
    "choices": {"context": ["none", "statistics"]},
    "members": 3,
    "generations": 2,
    "episodes": 4,
    "measured_tasks": 2,
    "measuring": {"episodes": 1},
}


def test_policies_of_a_population_that_went_on_are_those_of_an_undisturbed_one_bit_for_bit(tmp_path: Path) -> None:
    given = parse(PopulationPlan, REAL, "plan")
    runs, others = (LocalRuns({"city": CITY}, tmp_path / name) for name in ("whole", "cut"))
    undisturbed = list(evolve(given, runs))
    first = next(evolve(given, others))
    (second,) = evolve(given, LocalRuns({"city": CITY}, tmp_path / "cut"), (first,))
    assert [first, second] == undisturbed and not any(m.error for m in second)
    taken = next(m for i, m in enumerate(second) if m.parent != i)
    assert (
        taken.start == first[best_of(first)].policy
        and taken.values["context"] == first[best_of(first)].values["context"]
    )
    for member in second:
        one, other = runs.policy(member.policy), others.policy(member.policy)
        assert one.algorithm == other.algorithm and one.algorithm.context == member.values["context"]
        assert one.algorithm.learning_rate == member.values["learning_rate"]
        for group, net in one.params.items():
            assert all(torch.equal(x, other.params[group][name]) for name, x in net.items())


def test_runs_in_this_process_refuse_what_they_do_not_know_and_keep_what_failed(tmp_path: Path) -> None:
    runs = LocalRuns({"city": CITY}, tmp_path)
    with pytest.raises(InvalidInput, match="tasks: 'town' is none of city"):
        runs.start(RunRequest(tasks=("town",)))
    with pytest.raises(Exception, match="run not found: r"):
        list(runs.follow("r"))
    settings = {"independent": True, "total_episodes": 2}
    (news,) = runs.follow(runs.start(RunRequest(tasks=("city",), settings=settings)))
    assert news.state == "failed" and "needs concrete tasks" in news.error and news.ended
