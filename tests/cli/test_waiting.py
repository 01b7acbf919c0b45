"""What the command line says about a run that waits."""

import pytest

from protos.lwmecps.registry.v1 import run_pb2
from services.cli import render


def _run(waiting_for: str) -> run_pb2.Run:
    return run_pb2.Run(id="run-1", state=run_pb2.RUN_STATE_RUNNING, waiting_for=waiting_for)


def test_without_bars_a_line_says_it_at_first_now_and_then_and_when_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("services.cli.render.time.monotonic", lambda: now[0])
    with render.RunBars(shown=False) as bars:
        bars.update(_run(""))
        for waited_s in range(5, 31, 5):
            now[0] += 5
            bars.update(_run(f"a worker: none has reported for {waited_s} s"))
        bars.update(_run("Redis, for 5 s: away"))
        bars.update(_run(""))
        bars.update(_run(""))
    assert capsys.readouterr().err.splitlines() == [
        "run run-1: waiting for a worker: none has reported for 5 s",
        "run run-1: waiting for a worker: none has reported for 20 s",
        "run run-1: waiting for Redis, for 5 s: away",
        "run run-1: goes on",
    ]


def test_a_run_that_waits_for_its_turn_is_not_told_while_another_one_is_worked_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    queued = run_pb2.Run(
        id="run-2", state=run_pb2.RUN_STATE_PENDING, waiting_for="a learner: none has taken it for 5 s"
    )
    with render.RunBars(shown=False) as bars:
        bars.update(_run(""))
        bars.update(queued)
        bars.update(run_pb2.Run(id="run-1", state=run_pb2.RUN_STATE_COMPLETED))
        bars.update(queued)
    assert capsys.readouterr().err.splitlines() == ["run run-2: waiting for a learner: none has taken it for 5 s"]


def test_a_list_of_runs_says_why_one_failed_and_what_another_waits_for() -> None:
    failed = run_pb2.Run(id="run-3", state=run_pb2.RUN_STATE_FAILED, error="training diverged in step 2: \x1b")
    done = run_pb2.Run(id="run-4", state=run_pb2.RUN_STATE_COMPLETED)
    assert list(render.reasons([_run("a worker"), failed, done])) == [
        "run-1 RUNNING: waiting for a worker",
        "run-3 FAILED: training diverged in step 2: \\x1b",
    ]
