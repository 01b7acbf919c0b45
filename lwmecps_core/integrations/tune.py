"""Ray Tune: a trial is a run, which is paused where its trial is and goes on where that goes on (extra `tune`)."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ray import tune

from lwmecps_core.config import parse
from lwmecps_core.integrations.runs import RunNews, RunRequest, Runs, completed, settings_of

KEPT = "run.json"
"""The file of a checkpoint: which run it is, and the last step whose metrics were reported."""


def trainable(runs: Runs, **asked: Any) -> type[tune.Trainable]:
    """A class for `Tuner`: each trial starts the run that `asked` says (fields of `RunRequest`), with the trial's
    configuration added to its settings, and reports every step's metrics.

    A trial that Tune pauses or stops leaves its run paused; one that Tune takes up again resumes it, wherever it is
    placed. Each trial has a connection of its own. What can't be run is refused here, before Ray is asked.
    """
    settings_of(parse(RunRequest, asked, "trainable"))

    class RunTrainable(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self._runs, self._run_id, self._step, self._over = runs, "", -1, False
            self._news: Iterator[tuple[RunNews, int, Mapping[str, float]]] | None = None

        def step(self) -> dict[str, Any]:
            if self._news is None:
                self._begin()
            news, self._step, metrics = next(self._news)  # type: ignore[arg-type]
            self._over = news.ended
            done = news.ended and self._step >= news.step
            return {"run_id": self._run_id, "step": self._step, "policy_id": news.policy_id, **metrics, "done": done}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            Path(checkpoint_dir, KEPT).write_text(json.dumps({"run_id": self._run_id, "step": self._step}))

        def load_checkpoint(self, checkpoint: Any) -> None:
            kept = json.loads(Path(checkpoint, KEPT).read_text())
            self._run_id, self._step = kept["run_id"], kept["step"]

        def cleanup(self) -> None:
            if self._run_id and not self._over:
                self._runs.pause(self._run_id)

        def _begin(self) -> None:
            if self._run_id:
                self._runs.resume(self._run_id)
            else:
                given = {**asked, "settings": {**asked.get("settings", {}), **self.config}}
                self._run_id = self._runs.start(parse(RunRequest, given, "trial"))
            self._news = _by_step(self._runs, self._run_id, self._step)

    return RunTrainable


def _by_step(runs: Runs, run_id: str, after_step: int) -> Iterator[tuple[RunNews, int, Mapping[str, float]]]:
    """The steps of a run one by one, each with the news that told of it; raises `RunEnded` unless it completes.

    The last step is held back until the run has ended, so that its end and its policy are told with it.
    """
    held: tuple[int, Mapping[str, float]] | None = None
    news: RunNews | None = None
    for news in runs.follow(run_id, after_step):
        for step, metrics in sorted(news.metrics.items()):
            if held is not None and step != held[0]:
                yield news, *held
            held = (step, {**(held[1] if held and held[0] == step else {}), **metrics})
        if held is not None and held[0] < news.total_steps:
            yield news, *held
            held = None
    last = completed(news)
    yield last, *(held or (last.step, {}))
