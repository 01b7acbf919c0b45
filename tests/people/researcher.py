"""A researcher: from a task file to a policy, tables and pictures, by the README's tour and the library's page."""

from tests.people.newcomer import Newcomer, blocks, found


def work(person: Newcomer) -> None:
    """What the README and docs/library.md promise to somebody who writes papers."""
    epochs, tasks = (2, 2) if person.short else (20, 8)
    task = found("task-[0-9a-f]+", person.lwmecps("task create examples/city.yaml"))
    trained = person.lwmecps(
        f"meta-train --task {task} --num-meta-epochs {epochs} --meta-batch-size {tasks} --label tour"
    )
    policy, run = found("policy-[0-9a-f]+", trained), found("run-[0-9a-f]+", trained)
    adapted = person.lwmecps(f"adapt {policy} --task {task} --num-tasks {tasks} --task-seed 1 --label adapted")
    assert f"{tasks} tasks, mean" in adapted
    person.lwmecps(f"policies download {policy} --to tour.safetensors")
    if not person.short:
        rule = person.lwmecps(f"evaluate --baseline hpa_calibrated --task {task} --num-tasks {tasks} --task-seed 1")
        assert "hpa_calibrated" in rule
        person.lwmecps(f"plot {run}")
    runs = found("run-[0-9a-f]+", adapted)
    assert "tour" in person.lwmecps("runs")
    person.lwmecps(f"runs export {runs} --to rows.csv")
    person.lwmecps(f"report {runs} --to report.html")
    assert (person.clone / "rows.csv").read_text().count("\n") > tasks
    assert "<svg" in (person.clone / "report.html").read_text()
    _library(person)


def _library(person: Newcomer) -> None:
    """The page's programs, one after the other in one session, as in a notebook."""
    ten_lines, acting = blocks("docs/library.md")[:2]
    learning = person.sooner(ten_lines, total_episodes=(2000, 8), num_tasks=(32, 2))
    stored = 'policy = lwmecps_core.load_policy("tour.safetensors")\nprint(policy)\n'
    said = person.python(f"{learning}{acting}{stored}")
    assert "mine" in said and "hpa" in said
    for made in ("out/comparison.png", "out/comparison.svg", "rows.parquet", "mine.safetensors"):
        assert (person.clone / made).stat().st_size > 0
