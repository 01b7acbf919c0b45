"""What tests of importers do with a load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.files import load_task
from lwmecps_core.tasks.importers.assemble import with_load
from lwmecps_core.tasks.importers.loads import Load
from lwmecps_core.tasks.importers.options import LoadOptions


def task_of(load: Load, template: TaskSpec | None = None, **options: Any) -> TaskSpec:
    """The task under a load."""
    item = with_load(load, template, LoadOptions(**options)).item
    assert isinstance(item, TaskSpec)
    return item


def task_in(folder: Path, text: str) -> TaskSpec:
    """The task of a task file."""
    (folder / "cluster.yaml").write_text(text)
    task = load_task(folder / "cluster.yaml")
    assert isinstance(task, TaskSpec)
    return task


def requests_of(task: TaskSpec) -> float:
    """How many requests a task replays."""
    w = task.workload
    return float(np.sum(w.recorded_users)) * w.recorded_step_s / w.request_interval_s


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file that holds `content`."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def refusal(read: Callable[[], Any]) -> str:
    """What is said of what can't be read."""
    with pytest.raises(InvalidInput) as caught:
        read()
    return str(caught.value)
