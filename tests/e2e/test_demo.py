"""`lwmecps demo` in small: every method is measured on every held-out task, and all files are written."""

import json
import math
from pathlib import Path

import pytest

from services.cli import demo_run
from services.cli.demo_settings import BASELINES, DemoSettings, shortened

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROFILES = Path(__file__).resolve().parents[3] / "shared/data/profile_a"


def _demo(out: Path, profile: Path | None) -> list[dict[str, float | str]]:
    order = demo_run.DemoOrder(out, seed=3, env="lwmecps-v3", tasks=2, profile=profile, redis_url="")
    demo_run.run(order, as_json=True, settings=shortened(DemoSettings()))
    result = json.loads((out / "results.json").read_text())
    assert (result["seed"], result["tasks"]) == (3, 2)
    rows: list[dict[str, float | str]] = result["rows"]
    return rows


@pytest.mark.parametrize("recorded", [False, True], ids=["generated load", "recorded load"])
def test_demo_measures_every_method_and_writes_all_files(recorded: bool, tmp_path: Path) -> None:
    if recorded and not PROFILES.is_dir():
        pytest.skip(f"no recorded load profiles at {PROFILES}")
    rows = _demo(tmp_path, PROFILES if recorded else None)

    found = {(row["method"], row["inner_steps"]) for row in rows}
    after_steps = {(name, n) for name in ("adapted", "context_adapted", "multi_task_fine_tuned") for n in (1, 2)}
    steps = {("unadapted", 0), ("scratch", 0), ("scratch", 1), ("scratch", 2)}
    single = {
        (name, 0) for name in ("scratch_100_episodes", "context", "multi_task", "blind", "privileged", *BASELINES)
    }
    assert found == after_steps | steps | single
    first, third = (row for row in rows if row["method"] == "context")
    assert (first["episode"], first["env_steps"], first["support_reward_mean"]) == (1, 0, None)
    assert (third["episode"], third["env_steps"]) == (3, 240) and third["support_reward_mean"] is not None
    numbers = [value for row in rows for value in row.values() if not isinstance(value, str | None)]
    assert all(math.isfinite(value) for value in numbers)
    for name in ("results.csv", "adaptation.png", "adaptation.svg", "placement.png", "placement_worst.svg"):
        assert (tmp_path / name).stat().st_size > 0
