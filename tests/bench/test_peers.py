"""The benchmark of training beside Stable-Baselines3: equal clusters and data, and a page that says what is missing."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sb3_contrib", reason="the extra sb3 is not installed")

from bench.peers import report
from bench.peers.cells import OURS, PROBLEM, THEIRS, PeerCell, measured, settings, trials
from bench.peers.theirs import FreshClusters
from bench.peers.work import PeerOutcome, run


def test_clusters_are_drawn_anew_when_all_their_episodes_have_ended() -> None:
    env = FreshClusters(PROBLEM, tasks=2, at_once=2, episodes=2, seed=1)
    env.reset()
    first = env.get_attr("task")
    assert first[0] == first[2] and first[0] != first[1]
    idle = np.zeros((4, env.action_space.shape[0]), np.int64)  # type: ignore[index]
    for episode in range(2):
        assert env.get_attr("task") == first, episode
        for _ in range(first[0].horizon):
            obs, _, done, infos = env.step(idle)
        assert done.all() and all("terminal_observation" in info for info in infos)
    later = env.get_attr("task")
    assert len({task.name for task in (*first, *later)}) == 4
    # What was shown last is of the new clusters: their first observations.
    assert not np.array_equal(obs, [info["terminal_observation"] for info in infos])
    assert env.action_masks().shape == (4, env.get_attr("spec_of_env")[0].mask_size)


def test_everyone_trains_on_as_many_episodes() -> None:
    for name in OURS:
        _, training = settings(name, 6_400)
        rollout = 2 if name == "recurrent" else 1
        assert (training.total_episodes or 0) * rollout == 6_400
        assert training.tasks_per_batch * training.episodes_per_batch * rollout == 80


@pytest.mark.parametrize("learner", [*OURS, *THEIRS])
def test_a_cell_trains_and_measures(learner: str) -> None:
    cell = PeerCell(learner=learner, episodes=80, tasks=2)
    if learner in THEIRS:
        cell = replace(next(trials(learner)), episodes=80, tasks=2)
    found = run(cell)
    assert found.transitions == 9_600 and found.training_cpu_s > 0
    assert len(found.rewards) == 2 and np.isfinite(found.rewards).all()


def test_the_page_compares_pairs_and_says_what_is_missing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    tried = {name: list(trials(name)) for name in THEIRS}

    def outcome(reward: float, cpu_s: float) -> PeerOutcome:
        return PeerOutcome(rewards=(reward, reward - 1.0), transitions=9_600, training_cpu_s=cpu_s, commit="c0ffee")

    done = {cell.key: outcome(-30.0 - i, 1.0) for i, cell in enumerate(tried["PPO"])}
    assert report.best(tried["RecurrentPPO"], done) is None
    best = report.best(tried["PPO"], done)
    assert best == tried["PPO"][0]
    every = {"set": list(measured("set")), "PPO": list(measured("PPO", best))}
    done |= {cell.key: outcome(-20.0 - 0.1 * cell.seed, 0.4) for cell in every["set"]}
    done |= {cell.key: outcome(-24.0 + 0.1 * cell.seed, 1.0) for cell in every["PPO"][:3]}
    report.write(every, tried, done, tmp_path / "peers.md")
    page = (tmp_path / "peers.md").read_text()
    assert "| `set` ≥ 2 × `PPO`'s transitions/s | 2.50 | met |" in page
    assert "3 seeds | met |" in page and "+3.80" in page
    assert "PPO (2 seeds)" in page and "RecurrentPPO (3 seeds)" in page
