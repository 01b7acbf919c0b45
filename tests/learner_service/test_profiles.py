"""Runs that ask for it are profiled, whichever way they end, and others are not."""

import pstats
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lwmecps_core.errors import NotFound
from lwmecps_core.profiling import dearest, profiled
from services.common.run_labels import PROFILE
from services.learner_service.jobs import End, Job
from services.learner_service.profiles import Profiles
from services.learner_service.runs import RunSession

from .fakes import FakeRegistry, job, never, summing_loop, workshop


def _worked(profiles: Profiles, asked: Job, total: int = 5) -> FakeRegistry:
    registry = FakeRegistry(asked)
    shop = replace(workshop(registry, summing_loop(total)), profiles=profiles)
    RunSession(registry.job, shop, never()).work()
    return registry


def _asking() -> Job:
    return replace(job(), labels={PROFILE: "cprofile"})


def test_a_run_that_asks_is_profiled_and_any_tool_reads_the_file(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path / "profiles")
    assert _worked(profiles, _asking()).end is End.COMPLETED
    file, content, lines = profiles.read("r1")
    assert Path(file).read_bytes() == content
    assert 0 < len(lines) <= 10 and lines == sorted(lines, key=lambda line: -line.own_s)
    names = {name for _, _, name in pstats.Stats(file).stats}  # type: ignore[attr-defined]
    assert "loop" in names, "what the loop did must be in it"


def test_a_run_that_does_not_ask_leaves_no_file(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path / "profiles")
    _worked(profiles, job())
    with pytest.raises(NotFound, match="profile not found: r1"):
        profiles.read("r1")
    assert not (tmp_path / "profiles").exists()


def test_a_run_that_goes_on_adds_to_its_profile(tmp_path: Path) -> None:
    def calls() -> int:
        (count,) = [x[1] for (_, _, name), x in pstats.Stats(file).stats.items() if name == "loop"]  # type: ignore[attr-defined]
        return int(count)

    profiles, file = Profiles(tmp_path / "profiles"), str(tmp_path / "profiles" / "r1.prof")
    _worked(profiles, _asking())
    first = calls()
    _worked(profiles, _asking())
    assert calls() == 2 * first > 0


def test_a_profile_that_can_not_be_written_does_not_take_the_run_with_it(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("a file where a folder should be")
    assert _worked(Profiles(tmp_path / "profiles"), _asking()).end is End.COMPLETED


def test_no_path_is_read_that_is_not_a_profile_of_ours(tmp_path: Path) -> None:
    (tmp_path / "secret.prof").write_bytes(b"secret")
    profiles = Profiles(tmp_path / "profiles")
    _worked(profiles, _asking())
    for run_id in ("../secret", "", ".", str(tmp_path / "secret")):
        with pytest.raises(NotFound):
            profiles.read(run_id)


def test_the_dearest_function_is_the_one_where_time_passes(tmp_path: Path) -> None:
    def slow() -> None:
        time.sleep(0.2)

    with profiled(tmp_path / "x.prof"):
        slow()
    found = dearest(tmp_path / "x.prof", 2)
    assert "sleep" in found[0].function and found[0].own_s >= 0.2 and len(found) == 2
